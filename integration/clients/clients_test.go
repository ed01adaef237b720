package clients_test

import (
	"os"
	"path/filepath"
	"testing"

	"ssmonitor/integration/clients"
	"ssmonitor/internal/testkit"
)

func TestEditKeepsTheRest(t *testing.T) {
	const before = `# Our clients.

alice:   # since May
  ports: [20000, "20001/tcp"]  # phone, laptop

# The neighbours.
'bob':
  ports:
    - 20002 # old
    - 20003-20009
carol:
"dave, jr.": {ports: 20020}
"":
  ports: 20030
# The end.
`
	for _, test := range []struct {
		name     string
		change   clients.Change
		old, new string // of the text;
	}{
		{"a new client", clients.Add("erin", "20040", "20041/udp"), "# The end.\n", "# The end.\nerin:\n  ports: [20040, 20041/udp]\n"},
	} {
		path := filepath.Join(t.TempDir(), "clients.yaml")
		testkit.WriteFile(t, path, before)
		if err := clients.Edit(path, test.change); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got, _ := os.ReadFile(path)
		t.Logf("%s", got)
	}
}
