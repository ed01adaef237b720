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

// Parts are the files of one group of [Together]. Of sing-box, Xray and V2Ray, each may be
// a part of one configuration: an inbound can hand over to one in another file, and in a
// file without ports nothing is missing if another one has some.
type Parts struct {
	inbounds []partInbounds
	replaced map[string]map[string]string // by the file and the tag of an inbound: the file that has it instead
	waiting  []waitingPart
	contents map[string]*decoded // of the files with inbounds, which are in memory anyway
	served   []Form              // that have ports
	stores   map[string]bool     // files with users that another file names
	cloak    bool                // whether a server starts Cloak as its plugin, on its own port
}

// partInbounds are the inbounds of a file.
type partInbounds struct {
	path    string
	form    Form
	objects []node
}

type waitingPart struct {
	path string
	err  error
	*partError
}

// NewParts returns the parts of a group. It looks for their inbounds, unless the files
// are too many, or too large, to be kept in memory and compared. What is wrong with one
// is reported when it is read.
func NewParts(paths []string, options Options) *Parts {
	const (
		most = 512
		// maxLooks bounds how often the inbounds of all files are looked at: once for each
		// file that has any.
		maxLooks = 1 << 18
	)
	parts, size := &Parts{contents: make(map[string]*decoded), stores: make(map[string]bool)}, int64(0)
	for _, path := range paths {
		size += Size(path)
	}
	if len(paths) < 2 || len(paths) > most || size > maxSize {
		return parts
	}
	for _, path := range paths {
		if IsDatabase(path) || Managed(path) {
			continue
		}
		if options.Progress != nil {
			options.Progress()
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
		parts.inbounds, parts.contents = nil, nil
	}
	parts.replace()
	return parts
}

func (p *Parts) look(path string, contents *decoded) {
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
		p.inbounds = append(p.inbounds, partInbounds{path, form, objects})
		p.contents[path] = contents
	}
}

// replace finds what a later file in a directory of parts has instead: Xray and V2Ray keep
// the last inbound of a tag, https://xtls.github.io/en/config/features/multiple.html.
// Files in other directories may be configurations of their own.
func (p *Parts) replace() {
	p.replaced = make(map[string]map[string]string)
	last := make(map[[2]string]string) // by the directory and the tag
	for i, part := range slices.Backward(p.inbounds) {
		directory := filepath.Dir(part.path)
		if part.form != formXray || !slices.Contains(confDirectories, filepath.Base(directory)) {
			continue
		}
		own := make(map[string]string)
		p.inbounds[i].objects = slices.DeleteFunc(slices.Clone(part.objects), func(object node) bool {
			tag := object.at("tag").word() // what is wrong is reported when the part is read
			later, found := last[[2]string{directory, tag}]
			if found && tag != "" && later != part.path {
				own[tag] = later
				return true
			}
			last[[2]string{directory, tag}] = part.path
			return false
		})
		p.replaced[part.path] = own
	}
}

// Options returns how the file at path is read as one of the parts.
func (p *Parts) Options(path string, options Options) Options {
	options.decoded, options.replaced = p.contents[path], p.replaced[path]
	options.beside = func(form Form) (others [][]node) {
		for _, part := range p.inbounds {
			if part.form == form && part.path != path {
				others = append(others, part.objects)
			}
		}
		return others
	}
	return options
}

// beside returns the inbounds of each other part of the configuration.
func (c *collector) beside() [][]node {
	if c.options.beside == nil {
		return nil
	}
	return c.options.beside(c.form)
}

// Take takes what [Read] returned for a file. It returns the error, unless that
// depends on the other files.
func (p *Parts) Take(path string, config Config, err error) error {
	if err == nil {
		p.served = append(p.served, config.Form)
		return nil
	}
	foreign, isForeign := errors.AsType[*ForeignError](err)
	if p.stores[path] || isForeign && foreign.Program == cloak && p.cloak {
		return nil
	}
	part, isPart := errors.AsType[*partError](err)
	if !isPart {
		return err
	}
	p.waiting = append(p.waiting, waitingPart{path, err, part})
	return nil
}

// Complete reports whether the inbounds or outbounds of a file without ports belong to a
// configuration that has its ports in another file. It takes the error of the file.
func (p *Parts) Complete(err error) bool {
	part, isPart := errors.AsType[*partError](err)
	return isPart && slices.Contains(p.served, part.form)
}

// Rest returns what remains to be reported when all files were taken.
func (p *Parts) Rest() (rest []error) {
	var formless []waitingPart
	parts := make(map[Form][]waitingPart)
	for _, part := range p.waiting {
		if part.form == (partError{}).form {
			formless = append(formless, part)
		} else {
			parts[part.form] = append(parts[part.form], part)
		}
	}
	for _, form := range mergedForms {
		switch served := slices.Contains(p.served, form); {
		case served:
			formless = nil
			others := slices.DeleteFunc(parts[form], func(part waitingPart) bool { return len(part.others.texts) == 0 })
			if len(others) > 0 {
				rest = append(rest, fmt.Errorf("%s: %s", placeOf(others), notCounted(othersOf(others))))
			}
		case len(parts[form]) > 0:
			rest = append(rest, withoutPorts(append(parts[form], formless...)))
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
var mergedForms = []Form{formSingBox, formXray}

// partError reports a file that has no port, and may be a part of a configuration that
// has some elsewhere.
type partError struct {
	form   Form // none where any server could read the file
	others few  // ports of other protocols
	err    error
}

func (e *partError) Error() string { return e.err.Error() }

func (e *partError) Unwrap() error { return e.err }

// asPart marks an error of a file that may be a part: nothing in it is wrong, and none
// of its ports is missing for a reason of its own.
func (c *collector) asPart(root node, missing bool, err error) error {
	if missing || !errors.Is(err, ErrNoPorts) && !errors.Is(err, ErrClient) {
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
