package shadowsocks_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ssmonitor/integration/shadowsocks"
)

// movedCase is where an environment says which database a panel has.
type movedCase struct {
	name  string
	files map[string]string
	by    string // the file by which the panel moved, empty if it did not
}

func TestAServiceThatMovedToPostgreSQL(t *testing.T) {
	const (
		unit    = "etc/systemd/system/x-ui.service"
		dropIn  = "etc/systemd/system/x-ui.service.d/override.conf"
		usual   = "etc/default/x-ui"
		another = "srv/panel.env"
	)
	testMoved(t, "etc/x-ui/x-ui.db", []movedCase{
		{"without files", nil, ""},
		{"unit", map[string]string{unit: "[Service]\nEnvironment=\"A=1\" 'XUI_DB_TYPE=PostgreSQL'\n"}, unit},
		{"continued line", map[string]string{unit: "Environment=A=1 \\\n  XUI_DB_TYPE=pg\n"}, unit},
		{"spaces", map[string]string{unit: "Environment = XUI_DB_TYPE=sqlite\r\nEnvironmentFile = -/srv/panel.env\r\n", another: "XUI_DB_TYPE=pg\r\n"}, another},
		{"comment in the unit", map[string]string{unit: "#Environment=XUI_DB_TYPE=postgres\n"}, ""},
		{"unit of a package", map[string]string{"usr/lib/systemd/system/x-ui.service": "Environment=XUI_DB_TYPE=pg\n"}, "usr/lib/systemd/system/x-ui.service"},
		{"drop-in", map[string]string{unit: "Environment=XUI_DB_TYPE=sqlite\n", dropIn: "Environment=XUI_DB_TYPE=pg\n"}, dropIn},
		{"drop-in back", map[string]string{unit: "Environment=XUI_DB_TYPE=pg\n", dropIn: "Environment=XUI_DB_TYPE=sqlite\n"}, ""},
		{"drop-in in any directory", map[string]string{
			"lib/systemd/system/x-ui.service.d/b.conf": "Environment=XUI_DB_TYPE=sqlite\n",
			"etc/systemd/system/x-ui.service.d/a.conf": "Environment=XUI_DB_TYPE=pg\n",
		}, ""},
		{"named file", map[string]string{unit: "EnvironmentFile=-/srv/*.env\n", another: "XUI_DB_TYPE=pg"}, another},
		{"named file counts before the unit", map[string]string{dropIn: "Environment=XUI_DB_TYPE=pg\n", unit: "EnvironmentFile=/srv/panel.env\n", another: "XUI_DB_TYPE=sqlite"}, ""},
		{"named after the usual one", map[string]string{unit: "EnvironmentFile=/srv/panel.env\n", usual: "XUI_DB_TYPE=sqlite", another: "XUI_DB_TYPE=pg"}, another},
		{"the usual one named last", map[string]string{unit: "EnvironmentFile=/srv/panel.env\nEnvironmentFile=/etc/default/x-ui\n", usual: "XUI_DB_TYPE=sqlite", another: "XUI_DB_TYPE=pg"}, ""},
		{"named no more", map[string]string{unit: "EnvironmentFile=/srv/panel.env\n", dropIn: "EnvironmentFile=\n", another: "XUI_DB_TYPE=pg"}, ""},
		{"file of the panel", map[string]string{"usr/local/x-ui/.env": "XUI_DB_TYPE=pg"}, "usr/local/x-ui/.env"},
		{"file of the panel counts last", map[string]string{"usr/local/x-ui/.env": "XUI_DB_TYPE=pg", usual: "XUI_DB_TYPE=sqlite"}, ""},
	})
}

func TestAContainerThatMovedToPostgreSQL(t *testing.T) {
	const file = "docker-compose.yml"
	moved := func(lines string) map[string]string {
		return map[string]string{file: "services:\n  panel:\n    environment:\n" + lines}
	}
	with := func(files map[string]string, path, content string) map[string]string {
		files[path] = content
		return files
	}
	testMoved(t, "db/x-ui.db", []movedCase{
		{"without files", nil, ""},
		{"map", moved("      XUI_DB_TYPE: postgres # since May\n"), file},
		{"map in quotes", moved("      \"XUI_DB_TYPE\": 'pg'\n"), file},
		{"list", moved("      - XUI_DB_TYPE=postgres\n"), file},
		{"list in quotes", moved("      - \"XUI_DB_TYPE=postgres\"\n"), file},
		{"map on a line", map[string]string{file: "{services: {panel: {environment: {A: 1, XUI_DB_TYPE: pg}}}}"}, file},
		{"list on a line", map[string]string{file: "services: {panel: {environment: [A=1, \"XUI_DB_TYPE=pg\"]}}"}, file},
		{"another variable", moved("      XUI_DB_TYPES: postgres\n"), ""},
		{"comment", moved("      # XUI_DB_TYPE: postgres\n      - A=1 # XUI_DB_TYPE=postgres\n"), ""},
		{"sqlite", moved("      XUI_DB_TYPE: sqlite\n"), ""},
		{"another name of the file", map[string]string{"compose.yaml": "XUI_DB_TYPE: pg\n"}, "compose.yaml"},
		{"override", with(moved("      XUI_DB_TYPE: sqlite\n"), "docker-compose.override.yml", "XUI_DB_TYPE: pg\n"), "docker-compose.override.yml"},
		{"default", moved("      XUI_DB_TYPE: ${XUI_DB_TYPE:-postgres}\n"), file},
		{"default on a line", moved("      {XUI_DB_TYPE: \"${XUI_DB_TYPE-pg}\"}\n"), file},
		{"set outside", with(moved("      - XUI_DB_TYPE=$XUI_DB_TYPE\n"), ".env", "XUI_DB_TYPE=pg\n"), file},
		{"default, set outside", with(moved("      - XUI_DB_TYPE=${XUI_DB_TYPE:-pg}\n"), ".env", "XUI_DB_TYPE=sqlite\n"), ""},
		{"passed on in a list", with(moved("      - XUI_DB_TYPE\n"), ".env", "XUI_DB_TYPE=pg\n"), file},
		{"passed on in a map", with(moved("      XUI_DB_TYPE:\n"), ".env", "XUI_DB_TYPE=pg\n"), file},
		{"not passed on", with(moved("      A: 1\n"), ".env", "XUI_DB_TYPE=pg\n"), ""},
		{"file", map[string]string{file: "env_file: .env\n", ".env": "XUI_DB_TYPE=pg\n"}, ".env"},
		{"list of files", map[string]string{file: "env_file:\n  - ./a.env\n", "a.env": "XUI_DB_TYPE=pg\n"}, "a.env"},
		{"file on a line", map[string]string{file: "{services: {panel: {env_file: [\"a.env\"]}}}", "a.env": "XUI_DB_TYPE=pg\n"}, "a.env"},
		{"file counts after the environment", map[string]string{file: "environment:\n  XUI_DB_TYPE: sqlite\nenv_file: a.env\n", "a.env": "XUI_DB_TYPE=pg\n"}, ""},
		{"folder of the container", moved("      XUI_DB_FOLDER: /data\n"), ""},
		{"folder in a file", map[string]string{file: "env_file: a.env\n", "a.env": "XUI_DB_FOLDER=/data\n"}, ""},
	})
	testMoved(t, "panel/db/x-ui.db", []movedCase{
		{"file of another directory", map[string]string{"panel/" + file: "env_file: ../a.env\n", "a.env": "XUI_DB_TYPE=pg\n"}, ""},
	})
}

// testMoved reads the database of a panel at a path with the files of each case. Whoever
// watches its companions sees the file appear by which it moved.
func testMoved(t *testing.T, path string, cases []movedCase) {
	t.Helper()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			for path, content := range test.files {
				if path != test.by {
					write(t, root, path, content)
				}
			}
			path := write(t, root, path, "")
			by := filepath.Join(root, test.by)
			if watched := shadowsocks.Companions(path); test.by != "" && !slices.ContainsFunc(watched, func(path string) bool {
				matched, _ := filepath.Match(path, by)
				return matched || path == filepath.Dir(by)
			}) {
				t.Errorf("%s is not watched: %q", test.by, watched)
			}
			if test.by != "" {
				write(t, root, test.by, test.files[test.by])
			}
			database := openPanelAt(t, path)
			database.add(t, 20001, "alice")
			names, notes := database.ports(t)
			if names != "alice" || (notes != "") != (test.by != "") {
				t.Errorf("got %q with notes %q", names, notes)
			}
			if want := "since by " + by + " the panel keeps its inbounds in PostgreSQL"; test.by != "" && !strings.Contains(notes, want) {
				t.Errorf("got the notes %q, want %q", notes, want)
			}
		})
	}
}
