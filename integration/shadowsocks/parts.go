package shadowsocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// confDirectories are the names of directories that scripts have beside config.json,
// for the other parts of one configuration.
var confDirectories = []string{"conf", "conf.d", "confs", "config", "configs", "configs.d"}

// Together groups files that a server may read as one configuration: those of a
// directory, and those beside its conf. Both keep their order.
func Together(paths []string) (groups [][]string) {
	index := make(map[string]int)
	for _, path := range paths {
		directory := filepath.Dir(path)
		if slices.Contains(confDirectories, filepath.Base(directory)) {
			directory = filepath.Dir(directory)
		}
		i, found := index[directory]
		if !found {
			i = len(groups)
			index[directory] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], path)
	}
	return groups
}

// Below returns the directory in another one that has further parts of a configuration
// there, if there is any.
func Below(directory string) (path string, found bool) {
	for _, name := range confDirectories {
		path := filepath.Join(directory, name)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path, true
		}
	}
	return "", false
}

// Part is a file of a group, of which the others are known as well. One with only a path
// is a file of its own.
type Part struct {
	Path string

	beside   func(*Form) [][]node // the inbounds of each other part of a configuration
	replaced map[string]string    // by the tags of inbounds: the part that has another one instead
	decoded  *decoded             // the file, if it was read before with the group
}

// Group reads the files of one group of [Together]. Of sing-box, Xray and V2Ray, each may be
// a part of one configuration: an inbound can hand over to one in another file, and in a
// file without ports nothing is missing if another one has some.
type Group struct {
	// Paths are those of the files.
	Paths []string
	// Named are the files that have to have ports themselves, or to complete others that
	// do: they were named one by one.
	Named map[string]bool
	// Read returns what is in a file, with [Part.Read] or [Part.ReadListed], or nothing
	// where it is not to count. What was read before is returned again.
	Read func(part Part) (config Config, found bool, err error)
	// Refuse takes the errors of Read that do not depend on other files: of a named file
	// when all were read, of others at once.
	Refuse func(path string, err error)
}

// Load calls Read for each file, and Refuse, and returns what remains to be reported of
// the files together. progress is called before each file is looked at; it may be nil.
func (g Group) Load(progress func()) (rest []error) {
	parts := g.look(progress)
	var named []waitingPart
	for _, path := range g.Paths {
		config, found, err := g.Read(parts.part(path))
		part, isPart := errors.AsType[*partError](err)
		foreign, isForeign := errors.AsType[*ForeignError](err)
		switch {
		case err == nil && found:
			parts.served = append(parts.served, config.Form)
		case err == nil:
		case g.Named[path]:
			named = append(named, waitingPart{path, err, part})
		case parts.stores[path] || isForeign && foreign.Program == cloak && parts.cloak:
		case isPart:
			parts.waiting = append(parts.waiting, waitingPart{path, err, part})
		default:
			g.Refuse(path, err)
		}
	}
	for _, part := range named {
		if part.partError == nil || !slices.Contains(parts.served, part.form) {
			g.Refuse(part.path, part.err)
		} else if !parts.stores[part.path] {
			parts.waiting = append(parts.waiting, part)
		}
	}
	return parts.rest()
}

// parts are what is known of the files of a group.
type parts struct {
	inbounds []partInbounds
	waiting  []waitingPart
	served   []*Form         // that have ports
	stores   map[string]bool // files with users that another file names
	cloak    bool            // whether a server starts Cloak as its plugin, on its own port
}

// partInbounds are the inbounds of a file.
type partInbounds struct {
	path     string
	form     *Form
	objects  []node
	contents *decoded          // of the whole file, which is in memory anyway
	replaced map[string]string // by the tag of an inbound: the file that has it instead
}

type waitingPart struct {
	path string
	err  error
	*partError
}

// look looks for the inbounds of all files, unless they are too many, or too large, to be
// kept in memory and compared. What is wrong with one is reported when it is read.
func (g Group) look(progress func()) *parts {
	const (
		most = 512
		// maxLooks bounds how often the inbounds of all files are looked at: once for each
		// file that has any.
		maxLooks = 1 << 18
	)
	parts, size := &parts{stores: make(map[string]bool)}, int64(0)
	for _, path := range g.Paths {
		size += Size(path)
	}
	if len(g.Paths) < 2 || len(g.Paths) > most || size > maxSize {
		return parts
	}
	for _, path := range g.Paths {
		if IsDatabase(path) || Managed(path) {
			continue
		}
		if progress != nil {
			progress()
		}
		if contents, err := decodeFile(path); err == nil {
			parts.look(path, contents)
		}
	}
	inbounds := 0
	for _, part := range parts.inbounds {
		inbounds += len(part.objects)
	}
	if len(parts.inbounds)*inbounds > maxLooks {
		parts.inbounds = nil
	}
	parts.replace()
	return parts
}

func (p *parts) look(path string, contents *decoded) {
	root := node{value: &contents.root}
	if strings.HasPrefix(filepath.Base(root.at("plugin").word()), "ck-server") {
		p.cloak = true
	}
	if isShadowsocksGo(root) {
		for server := range root.at("servers").onlyObjects() {
			if store := server.at("uPSKStorePath").word(); store != "" {
				p.stores[filepath.Join(filepath.Dir(path), store)] = true
			}
		}
	}
	form := formXray
	if isSingBox(root) {
		form = formSingBox
	} else if !isXray(root) {
		return
	}
	if objects := root.at("inbounds").objects(); len(objects) > 0 {
		p.inbounds = append(p.inbounds, partInbounds{path: path, form: form, objects: objects, contents: contents})
	}
}

// replace finds what a later file in a directory of parts has instead: Xray and V2Ray keep
// the last inbound of a tag, https://xtls.github.io/en/config/features/multiple.html.
// Files in other directories may be configurations of their own.
func (p *parts) replace() {
	last := make(map[[2]string]string) // by the directory and the tag
	for i, part := range slices.Backward(p.inbounds) {
		directory := filepath.Dir(part.path)
		if part.form != formXray || !slices.Contains(confDirectories, filepath.Base(directory)) {
			continue
		}
		p.inbounds[i].replaced = make(map[string]string)
		p.inbounds[i].objects = slices.DeleteFunc(slices.Clone(part.objects), func(object node) bool {
			tag := object.at("tag").word() // what is wrong is reported when the part is read
			later, found := last[[2]string{directory, tag}]
			if found && tag != "" && later != part.path {
				p.inbounds[i].replaced[tag] = later
				return true
			}
			last[[2]string{directory, tag}] = part.path
			return false
		})
	}
}

// part returns the file at path as one of the parts.
func (p *parts) part(path string) Part {
	part := Part{Path: path, beside: func(form *Form) (others [][]node) {
		for _, other := range p.inbounds {
			if other.form == form && other.path != path {
				others = append(others, other.objects)
			}
		}
		return others
	}}
	if own := slices.IndexFunc(p.inbounds, func(own partInbounds) bool { return own.path == path }); own >= 0 {
		part.replaced, part.decoded = p.inbounds[own].replaced, p.inbounds[own].contents
	}
	return part
}

// beside returns the inbounds of each other part of the configuration.
func (c *collector) beside() [][]node {
	if c.part.beside == nil {
		return nil
	}
	return c.part.beside(c.form)
}

// rest returns what remains to be reported when all files were read.
func (p *parts) rest() (rest []error) {
	var formless []waitingPart
	byForm := make(map[*Form][]waitingPart)
	for _, part := range p.waiting {
		if part.form == nil {
			formless = append(formless, part)
		} else {
			byForm[part.form] = append(byForm[part.form], part)
		}
	}
	for _, form := range mergedForms {
		switch served := slices.Contains(p.served, form); {
		case served:
			formless = nil
			others := slices.DeleteFunc(byForm[form], func(part waitingPart) bool { return len(part.others.texts) == 0 })
			if len(others) > 0 {
				rest = append(rest, fmt.Errorf("%s: %s", placeOf(others), notCounted(othersOf(others))))
			}
		case len(byForm[form]) > 0:
			rest = append(rest, withoutPorts(append(byForm[form], formless...)))
			formless = nil
		}
	}
	if len(formless) > 0 {
		rest = append(rest, withoutPorts(formless))
	}
	return rest
}

// withoutPorts reports that no file of a directory has a port.
func withoutPorts(parts []waitingPart) error {
	if len(parts) == 1 {
		return parts[0].err
	}
	directory := placeOf(parts)
	if others := othersOf(parts); len(others.texts) > 0 {
		return fmt.Errorf("%s: in %d files, %w: %s", directory, len(parts), ErrNoPorts, notCounted(others))
	}
	for _, part := range parts {
		if errors.Is(part.err, ErrClient) {
			return part.err
		}
	}
	return fmt.Errorf("%s: in %d files, %w", directory, len(parts), ErrNoPorts)
}

// othersOf returns the ports of other protocols in all parts.
func othersOf(parts []waitingPart) (all few) {
	for _, part := range parts {
		for _, text := range part.others.texts {
			all.add(maxShown, "%s", text)
		}
		all.more += part.others.more
	}
	return all
}

// placeOf returns the file, or the directory that has all of several in it or below it.
func placeOf(parts []waitingPart) string {
	if len(parts) == 1 {
		return parts[0].path
	}
	directory := filepath.Dir(parts[0].path)
	for _, part := range parts[1:] {
		for !strings.HasPrefix(part.path, strings.TrimSuffix(directory, "/")+"/") {
			directory = filepath.Dir(directory)
		}
	}
	return directory
}

// mergedForms are those whose servers read several files as one configuration.
var mergedForms = []*Form{formSingBox, formXray}

// partError reports a file that has no port, and may be a part of a configuration that
// has some elsewhere.
type partError struct {
	form   *Form // nil where any server could read the file
	others few   // ports of other protocols
	err    error
}

func (e *partError) Error() string { return e.err.Error() }

func (e *partError) Unwrap() error { return e.err }

// asPart marks an error of a file that may be a part: nothing in it is wrong, and none
// of its ports is missing for a reason of its own.
func (c *collector) asPart(root node, err error) error {
	if len(c.reasons.texts)+len(c.notes.texts) > 0 || !errors.Is(err, ErrNoPorts) && !errors.Is(err, ErrClient) {
		return err
	}
	part := &partError{others: c.others, err: err}
	hasInbounds := len(c.others.texts) > 0 || anyHas(root, "protocol", "inbounds", "outbounds") || anyHas(root, "type", "inbounds", "outbounds")
	switch {
	case hasInbounds && slices.Contains(mergedForms, c.form):
		part.form = c.form
	case c.form == formXray: // an empty list of inbounds, which sing-box has as well
	case c.form == formSingle && !root.has("server", "server_port", "local_port", "locals", "mode", "manager_address"):
	default:
		return err
	}
	return part
}
