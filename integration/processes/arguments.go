package processes

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks/endpoint"
)

// maxNamed is the most files, directories and ports of a command line each.
const maxNamed = 64

// commandLine is what a command line names.
type commandLine struct {
	files       []string
	directories []string
	ports       []accounting.Port
	workdir     string
	home        string
	admin       []uint16
	manager     bool // whether it is a manager, which has a UDP port that is not for clients
	usual       bool // whether files are what the program reads without any option
}

type option struct{ name, value string }

// parse reads the arguments of a program.
func (p *program) parse(arguments []string) (c commandLine) {
	var listen []option
	set := make(map[string]bool)
	loopback := false
	for _, o := range p.options(arguments) {
		set[o.name] = true
		switch {
		case slices.Contains(p.files, o.name) && isPath(o.value):
			c.files = append(c.files, o.value)
		case slices.Contains(p.folders, o.name) && isPath(o.value):
			c.directories = append(c.directories, o.value)
		case slices.Contains(p.workdir, o.name):
			c.workdir = o.value
		case slices.Contains(p.home, o.name):
			c.home = o.value
		case slices.Contains(p.listen, o.name):
			listen = append(listen, o)
		case slices.Contains(p.address, o.name):
			host, _ := endpoint.Split(o.value)
			loopback = endpoint.IsLoopback(host)
		case slices.Contains(p.admin, o.name):
			_, port := endpoint.Split(o.value)
			if number, err := accounting.ParsePort(port); err == nil {
				c.admin = append(c.admin, number)
			}
		}
	}
	c.manager = p.role == manages || p.name == "ssservice" && slices.Contains(arguments, "manager")
	served := p.serves.with(set, len(c.files) > 0)
	for _, o := range listen {
		if port, ok := p.port(o.value, served); ok && !loopback && len(c.ports) < maxNamed {
			c.ports = append(c.ports, port)
		}
	}
	if p.takesPort() && len(c.ports) > 0 {
		c.files = nil // the port of the file is not in use
	}
	if !slices.ContainsFunc(slices.Concat(p.files, p.folders), func(name string) bool { return set[name] }) {
		c.complete(p)
	}
	c.files = c.files[:min(len(c.files), maxNamed)]
	c.directories = c.directories[:min(len(c.directories), maxNamed)]
	return c
}

// complete adds the configuration that the program reads without an option for it.
func (c *commandLine) complete(p *program) {
	switch {
	case len(c.ports) > 0:
	case c.home != "":
		c.files = []string{filepath.Join(c.home, p.inHome)}
	case p.fallback != "":
		c.files, c.usual = []string{p.fallback}, true
	}
}

// options returns the options of the arguments with their values.
func (p *program) options(arguments []string) (options []option) {
	for i := 0; i < len(arguments); i++ {
		argument := arguments[i]
		if len(argument) < 2 || argument[0] != '-' {
			continue
		}
		next := func() (value string) {
			if i+1 < len(arguments) {
				i++
				value = arguments[i]
			}
			return value
		}
		if p.letters != "" && argument[1] != '-' {
			options = append(options, p.cluster(argument[1:], next)...)
			continue
		}
		name, value, found := strings.Cut(strings.TrimLeft(argument, "-"), "=")
		if !found && p.takesValue(name) {
			value = next()
		}
		options = append(options, option{name, value})
	}
	return options
}

// cluster returns the options of several letters behind one dash, the last of which may
// have a value.
func (p *program) cluster(letters string, next func() string) (options []option) {
	for i := range len(letters) {
		name := letters[i : i+1]
		if !strings.Contains(p.letters, name) {
			options = append(options, option{name, ""})
			continue
		}
		value := strings.TrimPrefix(letters[i+1:], "=")
		if value == "" {
			value = next()
		}
		return append(options, option{name, value})
	}
	return options
}

// takesPort reports whether an option gives the program its only port.
func (p *program) takesPort() bool { return slices.Contains(p.listen, "p") }

func (p *program) takesValue(name string) bool {
	return slices.Contains(slices.Concat(p.files, p.folders, p.workdir, p.home, p.listen, p.address, p.admin), name)
}

// with returns what the options make the program serve. With a file or a plugin, that is
// not known from the options alone unless they say it.
func (p protocols) with(set map[string]bool, file bool) accounting.Protocols {
	switch {
	case p.udpOnly != "" && set[p.udpOnly]:
		return accounting.OnlyUDP
	case p.alwaysBoth, set[p.both], file, set["plugin"]:
		return accounting.TCPAndUDP
	}
	return accounting.OnlyTCP
}

// port returns the port of an option: a number, an address or a URL. Nothing else of a
// URL is looked at: there is a password in it.
func (p *program) port(value string, served accounting.Protocols) (accounting.Port, bool) {
	scheme, rest, isURL := endpoint.CutLink(value)
	if isURL {
		if !scheme.IsShadowsocks() {
			return accounting.Port{}, false
		}
		if scheme.IsOverUDP() {
			served = accounting.OnlyUDP
		}
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			rest = rest[:end]
		}
		at := strings.LastIndexByte(rest, '@')
		value = rest[at+1:]
		if host, _ := endpoint.Split(value); at < 0 && host != "" && !endpoint.IsAddress(host) {
			return accounting.Port{}, false // a method and a password
		}
	}
	if p.role == servesSeveral && !isURL {
		return accounting.Port{}, false // of gost's own choice of protocols
	}
	host, port := endpoint.Split(value)
	if port == "" && !isURL {
		host, port = "", value // a number only
	}
	number, err := accounting.ParsePort(port)
	return accounting.Port{Number: number, Protocols: served}, err == nil && !endpoint.IsLoopback(host)
}

// isPath reports whether the value may be a file: not the standard input and not an
// address of a file elsewhere.
func isPath(value string) bool {
	return value != "" && len(value) < syscall.PathMax && value != "stdin:" && value != "-" && value != "stdin" && !strings.Contains(value, "://")
}
