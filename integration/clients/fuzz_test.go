package clients_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/integration/clients"
	"ssmonitor/internal/testkit"
)

func FuzzRead(f *testing.F) {
	f.Add(ours)
	f.Add("\ufeff{a: {ports: [1, '2-3/tcp',]}, \"b\": , ? c\r\n: {}}\n---\nd:")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := clients.Parse(text)
		if err != nil {
			if strings.ContainsFunc(err.Error(), testkit.CommandsTerminal) {
				t.Errorf("not one line: %q", err)
			}
			return
		}
		if _, conflicts := accounting.Union(file.Ports()); conflicts != nil {
			t.Errorf("a port has two clients: %v", conflicts)
		}
	})
}

// FuzzEdit makes a change of any text. If it succeeds, the file has what was wanted, other
// clients are as they were, and so are the comments, except those of what was removed.
func FuzzEdit(f *testing.F) {
	for kind := range uint8(4) {
		f.Add(ours, kind, "alice", "20000", "fay")
		f.Add(ours, kind, "bob", "20003-20005", "Zoë, jr.")
	}
	f.Add("a: {ports: [1, '2-3/tcp',]}\r\nb:\r\n", uint8(1), "a", "2/tcp", "")
	f.Fuzz(func(t *testing.T, text string, kind uint8, name, spec, other string) {
		before, err := clients.Parse(text)
		if err != nil {
			return
		}
		kind %= 4
		change := []clients.Change{clients.Add(name, spec), clients.Remove(name, spec), clients.Rename(name, other), clients.Remove(name)}[kind]
		changed, err := change.Of(text)
		if err != nil {
			if strings.ContainsFunc(err.Error(), testkit.CommandsTerminal) && !errors.Is(err, clients.ErrByHand) {
				t.Errorf("not one line: %q", err)
			}
			return
		}
		after, err := clients.Parse(changed)
		if err != nil {
			t.Fatalf("%q can't be read: %v", changed, err)
		}
		if kind == 0 && !holds(after, name, spec) || kind != 0 && name != other && slices.ContainsFunc(after.Clients, func(c clients.Client) bool { return c.Name == name }) && (kind != 1 || holds(after, name, spec)) {
			t.Errorf("%q has become %q", text, changed)
		}
		merged := kind == 2 && name != other && slices.ContainsFunc(before.Clients, func(c clients.Client) bool { return c.Name == other })
		for _, was := range before.Clients {
			if merged && was.Name == other {
				continue
			}
			is := slices.IndexFunc(after.Clients, func(c clients.Client) bool { return c.Name == was.Name })
			if was.Name != name && was.Name != "" && (is < 0 || !reflect.DeepEqual(was.Ports, after.Clients[is].Ports)) {
				t.Errorf("%q has changed from %q to %q", was.Name, text, changed)
			}
		}
		if strings.Contains(name+other, "#") {
			return
		}
		if kept := comments(changed); kind == 2 && !merged && !slices.Equal(kept, comments(text)) || kind == 0 && len(kept) < len(comments(text))-1 {
			t.Errorf("comments are lost:\n%q\n%q", text, changed)
		}
	})
}

// holds reports whether a client has a part of what a specification names, or all of it.
func holds(file *clients.File, name, spec string) bool {
	wanted, err := clients.Parse("x: {ports: '" + spec + "'}")
	if err != nil {
		return true // what is not YAML in these marks
	}
	numbers := make(map[uint16]accounting.Protocols)
	for _, client := range file.Clients {
		for _, port := range client.Ports {
			if client.Name == name {
				numbers[port.Number] |= port.Protocols
			}
		}
	}
	return !slices.ContainsFunc(wanted.Ports(), func(p accounting.Port) bool { return p.Protocols&^numbers[p.Number] != 0 })
}

// comments returns the comments of a text, and what looks like one.
func comments(text string) (comments []string) {
	for line := range strings.Lines(text) {
		if at := strings.Index(line, "#"); at >= 0 {
			comments = append(comments, strings.TrimSpace(line[at:]))
		}
	}
	return comments
}
