package clients

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/internal/configfile"
	"ssmonitor/internal/safeyaml"
)

// DefaultName is the name of the clients file, which is beside the list of ports.
const DefaultName = "clients.yaml"

// File is a clients file.
type File struct {
	Clients []Client // in the order of the file
}

// Client is a block of the file.
type Client struct {
	Name string
	// Ports have the name. They are as the file has them; use [accounting.Union].
	Ports   []accounting.Port
	Targets []accounting.Target // where the host forwards the ports, as far as the file says
	Line    int                 // of the name
}

// Ports returns the ports of all clients, in the order of the file; those of nil are none.
func (f *File) Ports() (ports []accounting.Port) {
	if f == nil {
		return nil
	}
	for _, client := range f.Clients {
		ports = append(ports, client.Ports...)
	}
	return ports
}

// Targets returns the targets of all clients, in the order of the file; those of nil are
// none.
func (f *File) Targets() (targets []accounting.Target) {
	if f == nil {
		return nil
	}
	for _, client := range f.Clients {
		targets = append(targets, client.Targets...)
	}
	return targets
}

// Error says where a clients file is not what it should be, with line and column and
// without what stands there: the file may be another one, with passwords.
type Error = safeyaml.Error

// Read reads the clients file at path. Its errors name the file: fs.ErrNotExist for a
// missing one, those of package configfile for anything but a regular file of bounded
// size, safeyaml.ErrTooLarge, and an *[Error].
func Read(path string) (*File, error) {
	text, err := configfile.Read(path, safeyaml.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("reading the clients: %w", err)
	}
	doc, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the clients: %s: %w", path, err)
	}
	return doc.file(), nil
}

// document is a clients file with its text.
type document struct {
	text   string // without a byte order mark; its lines end with \n
	blocks []*block
	owners map[uint16]owner
}

func (d *document) file() *File {
	file := new(File)
	for _, block := range d.blocks {
		file.Clients = append(file.Clients, block.Client)
	}
	return file
}

// owner is the block that has a port, and for which protocols.
type owner struct {
	*block
	protocols accounting.Protocols
}

// place is where something stands in the text, from 1; the column in characters.
type place struct{ line, column int }

// block is a client with what stands in the text for it.
type block struct {
	Client
	key, value place
	empty      bool   // there is no value
	listKey    *place // of the ports; nil: there is none
	list       place
	listEmpty  bool // the key has no value
	items      []item
}

// item is a specification of ports.
type item struct {
	place
	spec    string
	ports   []accounting.Port
	targets []accounting.Target
}

// secondDocument is what precedes a document that the reader would not see.
var secondDocument = regexp.MustCompile(`(?ms)^ *[^#\s-].*?^---`)

// parse reads a clients file.
func parse(text []byte) (*document, error) {
	text = bytes.ReplaceAll(bytes.TrimPrefix(text, []byte(byteOrderMark)), []byte("\r\n"), []byte("\n"))
	doc := &document{text: string(text), owners: make(map[uint16]owner)}
	if second := secondDocument.FindIndex(text); second != nil {
		return nil, &Error{Line: bytes.Count(text[:second[1]], []byte("\n")) + 1, Column: 1, Reason: "want one document, without --- before another"}
	}
	err := safeyaml.Read(text, func(root safeyaml.Node) error {
		if root.IsNull() {
			return nil
		}
		pairs, ok := root.Pairs()
		if !ok {
			return root.WrongKind("names of clients with their ports, as in alice: {ports: [20000]}")
		}
		for _, pair := range pairs {
			if err := doc.read(pair); err != nil {
				return err
			}
		}
		return nil
	})
	return doc, err
}

// read appends the block of a client.
func (d *document) read(pair safeyaml.Pair) error {
	b := &block{Client: Client{Name: pair.Key()}, key: placeOf(pair), value: placeOf(pair.Value), empty: pair.Value.IsNull()}
	b.Line = b.key.line
	fault := nameFault(b.Name)
	switch {
	case !pair.IsWord():
		return pair.WrongKey("want the name of a client")
	case b.Name != "" && fault != "":
		return pair.WrongKey("want " + fault)
	case d.find(b.Name) != nil:
		return pair.WrongKey(fmt.Sprintf("want one block for each client: this one has another in line %d", d.find(b.Name).Line))
	}
	d.blocks = append(d.blocks, b)
	if b.empty {
		return nil
	}
	keys, ok := pair.Value.Pairs()
	if !ok {
		return pair.Value.WrongKind("keys with values, as in {ports: [20000]}")
	}
	for _, key := range keys {
		if !key.IsWord() || key.Key() != portsKey {
			return key.Unknown([]string{portsKey})
		}
		if err := d.readPorts(b, key); err != nil {
			return err
		}
	}
	return nil
}

func placeOf(at interface{ Position() (int, int) }) place {
	line, column := at.Position()
	return place{line, column}
}

// readPorts reads a list, or a value that stands for a list of one.
func (d *document) readPorts(b *block, pair safeyaml.Pair) error {
	key := placeOf(pair)
	b.listKey, b.list, b.listEmpty = &key, placeOf(pair.Value), pair.Value.IsNull()
	if b.listEmpty {
		return nil
	}
	for _, node := range pair.Value.Items() {
		spec, ok := node.Scalar()
		if !ok {
			return node.WrongKind(wantPort)
		}
		if strings.Contains(spec, "=") {
			return node.Wrong(wantPort + ": the name is that of the block")
		}
		read, err := parseItem(b.Name, spec)
		if wrongSpec, ok := errors.AsType[*portlist.SpecError](err); ok {
			return node.Wrong(wrongSpec.Expected)
		}
		read.place = placeOf(node)
		if owner, ok := d.take(b, read); !ok {
			return node.Wrong(fmt.Sprintf("each port once: the block of line %d has it already", owner.Line))
		}
	}
	return nil
}

// take appends an item to a block, unless another one has a port of it already.
func (d *document) take(b *block, read item) (other owner, ok bool) {
	for _, port := range read.ports {
		known := d.owners[port.Number]
		if known.block != nil && (known.block != b || known.protocols&port.Protocols != 0) {
			return known, false
		}
		d.owners[port.Number] = owner{b, known.protocols | port.Protocols}
	}
	b.items = append(b.items, read)
	b.Ports, b.Targets = append(b.Ports, read.ports...), append(b.Targets, read.targets...)
	return owner{}, true
}

const (
	portsKey = "ports"
	wantPort = `a port as in 20000, 20000-20009, 20000/tcp or "20000@172.17.0.2:8388"`
)

// parseItem reads a specification without a name. The error is a *portlist.SpecError.
func parseItem(name, spec string) (item, error) {
	ports, targets, err := portlist.ParseSpec(spec)
	for i := range ports {
		ports[i].Name = name
	}
	return item{spec: spec, ports: ports, targets: targets}, err
}

// find returns the block of a name, or nil.
func (d *document) find(name string) *block {
	if i := slices.IndexFunc(d.blocks, func(b *block) bool { return b.Name == name }); i >= 0 {
		return d.blocks[i]
	}
	return nil
}

// nameFault is accounting.NameFault for names that nothing trims.
func nameFault(name string) string {
	if strings.TrimSpace(name) != name {
		return "a name without white space around it"
	}
	return accounting.NameFault(name)
}
