package clients_test

import (
	"errors"
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
		file, err := clients.Read(write(t, text))
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

// FuzzEdit makes a change of any text: either the text is as before, or what was wanted is
// in it and every comment outside a client that was removed has stayed.
func FuzzEdit(f *testing.F) {
	for kind := range uint8(5) {
		f.Add(ours, kind, "alice", "20000", "fay")
		f.Add(ours, kind, "bob", "20003-20005", "Zoë, jr.")
	}
	f.Add("a: {ports: [1, '2-3/tcp',]}\r\nb:\r\n", uint8(1), "a", "2/tcp", "")
	f.Fuzz(func(t *testing.T, text string, kind uint8, name, spec, other string) {
		path := write(t, text)
		before, err := clients.Read(path)
		if err != nil {
			return
		}
		change := []clients.Change{clients.Add(name, spec), clients.Remove(name, spec), clients.Rename(name, other), clients.Give(20000, accounting.OnlyTCP, name), clients.Remove(name)}[kind%5]
		err = clients.Edit(path, change)
		after, readErr := clients.Read(path)
		if readErr != nil {
			t.Fatalf("the file can't be read: %v", readErr)
		}
		if err != nil {
			if read(t, path) != text || errors.Is(err, clients.ErrByHand) && !strings.Contains(err.Error(), "edit the file: ") {
				t.Errorf("%v, and\n%q", err, read(t, path))
			}
			return
		}
		if kind%5 == 2 && name != other {
			for i := range before.Clients {
				if was, is := before.Clients[i].Name, after.Clients[i].Name; was != is && (was != name || is != other) {
					t.Errorf("%q has become %q", was, is)
				}
			}
		}
		if kind%5 != 1 && kind%5 != 4 && !slices.Equal(comments(read(t, path)), comments(text)) && kind%5 != 3 {
			t.Errorf("comments are lost:\n%q\n%q", text, read(t, path))
		}
	})
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
