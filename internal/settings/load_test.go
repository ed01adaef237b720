package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

// given is a in of all keys, without an environment.
func given(t *testing.T, file string, flags map[string][]string) Inputs {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	testkit.WriteFile(t, path, file)
	return Inputs{Keys: All(), Flags: flags, File: path}
}

func TestDefaults(t *testing.T) {
	t.Setenv("TZ", "Asia/Tehran")
	got := Default()
	for what, right := range map[string]bool{
		"paths": got.List == "/etc/ssmonitor/ports" && got.StateDirectory == "/var/lib/ssmonitor" &&
			got.CSV == "/run/ssmonitor/ssmonitor.csv" && got.Socket == "/run/ssmonitor/ssmonitor.sock",
		"files that are off": got.WebConfig+got.Textfile == "" && got.Listen == "127.0.0.1:10977",
		"times":              got.Interval == 2*time.Second && got.SaveInterval == 10*time.Second,
		"retention":          got.KeepHours == 90*24*time.Hour && got.KeepDays == 730*24*time.Hour,
		"calendar":           got.Zone.String() == "Asia/Tehran" && got.MonthDay == 1,
		"counting":           got.Hook == nft.HookHost && got.Own == nft.OwnNo && !got.HasPortSources(),
		"the rest":           got.MetricsNames && got.Charts == 100 && !got.AnyProtocol && !got.NoSearch && !got.Warn.Any() && !got.Addresses.Any(),
		"nothing is given":   !got.Given("interval") && !got.Given("list"),
	} {
		if !right {
			t.Errorf("%s: got %+v", what, got)
		}
	}
}

// TestPrecedence has a value in each place, and takes away the one that counts.
func TestPrecedence(t *testing.T) {
	variables := map[string]string{"SSMONITOR_INTERVAL": "3s", "SSMONITOR_PORT": "20000=alice, 20001", "SSMONITOR_CSV": ""}
	in := given(t, "interval: 4s\nport: [20002]\ncsv: /x.csv\nno-search: true\n", map[string][]string{"interval": {"1s", "2s"}, "port": {"20003=a,b"}})
	in.Environment = func(name string) (string, bool) {
		value, found := variables[name]
		return value, found
	}
	want := func(step, interval, csv string, ports ...uint16) {
		t.Helper()
		got, err := in.Load()
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		var numbers []uint16
		for _, port := range got.Ports {
			numbers = append(numbers, port.Number)
		}
		if got.Interval.String() != interval || got.CSV != csv || !slices.Equal(numbers, ports) || !got.Given("csv") {
			t.Errorf("%s: got %s, %q and the ports %v, want %s, %q and %v", step, got.Interval, got.CSV, numbers, interval, csv, ports)
		}
	}
	want("flags", "2s", "", 20003)
	in.Flags = nil
	want("variables", "3s", "", 20000, 20001)
	clear(variables)
	want("file", "4s", "/x.csv", 20002)
	in.IgnoredInFile = []string{"port"}
	want("file without ports", "4s", "/x.csv")
	if got, err := in.Load(); err != nil || !got.NoSearch || !got.Given("no-search") {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMissingFile(t *testing.T) {
	in := Inputs{Keys: All(), File: filepath.Join(t.TempDir(), "missing")}
	if _, err := in.Load(); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, new(*failure.WrongError)) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	in.File = NoFile
	if _, err := in.Load(); err != nil || in.FilePath() != "" {
		t.Errorf("without a file: %v", err)
	}
}

// TestEveryKey gives each key in the file and as a flag. Others have no effect.
func TestEveryKey(t *testing.T) {
	values := map[string]string{
		"port": "1", "any-protocol": "true", "no-search": "true", "interval": "1s", "save-interval": "0s", "month-day": "2", "hook": "container",
		"own": "auto", "listen": ":1", "metrics-names": "no", "zone": "UTC", "keep-hours": "1d", "keep-days": "12w", "warn": "1GB", "addresses": "1", "charts": "all",
	}
	for _, key := range All() {
		value := values[key.Name]
		if value == "" {
			value = "x"
		}
		inFile, fileErr := given(t, key.Name+": "+value+"\n", nil).Load()
		inFile.PortFile = ""
		asFlag, flagErr := given(t, "", map[string][]string{key.Name: {value}}).Load()
		if fileErr != nil || flagErr != nil || !inFile.Given(key.Name) || !asFlag.Given(key.Name) {
			t.Fatalf("%s: got %v from the file and %v from the flag", key.Name, fileErr, flagErr)
		}
		inFile.origins, asFlag.origins = nil, nil
		if fmt.Sprintf("%+v", inFile) != fmt.Sprintf("%+v", asFlag) {
			t.Errorf("%s: got %+v from the file and %+v from the flag", key.Name, inFile, asFlag)
		}
		in := given(t, key.Name+": "+value+"\n", nil)
		in.Keys = nil
		if got, err := in.Load(); err != nil || got.Given(key.Name) {
			t.Errorf("%s: of another command: got %+v, %v", key.Name, got, err)
		}
	}
}

func TestUnitDirectories(t *testing.T) {
	lookup := func(name string) string {
		return map[string]string{"RUNTIME_DIRECTORY": "/run/a:/run/b", "STATE_DIRECTORY": "/var/lib/a/"}[name]
	}
	got, err := Inputs{Keys: Keys(lookup, "csv", "socket", "state"), File: NoFile}.Load()
	if err != nil || got.CSV != "/run/a/ssmonitor.csv" || got.Socket != "/run/a/ssmonitor.sock" || got.StateDirectory != "/var/lib/a" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestLimitsOfClients has the forms that the file knows for them.
func TestLimitsOfClients(t *testing.T) {
	for _, test := range []struct {
		file       string
		flags      map[string][]string
		alice, bob uint64
	}{
		{"", nil, 0, 0},
		{"addresses: 3\n", nil, 3, 3},
		{"addresses: 0\n", nil, 0, 0},
		{"addresses: [3, alice=5]\n", nil, 5, 3},
		{"addresses: {alice: 5, bob: none}\n", nil, 5, 0},
		{"addresses:\n  alice: 5\n", nil, 5, 0},
		{"addresses: 3\n", map[string][]string{"addresses": {"4", "bob=6"}}, 4, 6},
	} {
		got, err := given(t, test.file, test.flags).Load()
		if err != nil {
			t.Fatalf("%q: %v", test.file, err)
		}
		alice, _ := got.Addresses.For(usage.ClientOf("alice", 1))
		bob, _ := got.Addresses.For(usage.ClientOf("bob", 2))
		if alice != test.alice || bob != test.bob {
			t.Errorf("%q: got %d and %d, want %d and %d", test.file, alice, bob, test.alice, test.bob)
		}
	}
}

func TestWrongValues(t *testing.T) {
	for _, test := range []struct{ key, value, want string }{
		{"interval", "5", "write 5s for seconds"},
		{"interval", "5 seconds", "want a duration with its unit"},
		{"interval", "50ms", "want 100ms to 1h"},
		{"save-interval", "2h", "want 0s to 1h"},
		{"save-interval", "-1s", "want 0s to 1h"},
		{"month-day", "0", `month-day "0": want a number from 1 to 28`},
		{"month-day", "31", "want a number from 1 to 28"},
		{"zone", "Asia/Teheran-", `zone "Asia/Teheran-": want a name`},
		{"zone", "Local", `zone "Local": want a name`},
		{"zone", "../etc/passwd", "want a name"},
		{"charts", "some", "want a number of ports"},
		{"listen", "here", "want an address and a port"},
		{"metrics-names", "maybe", "want yes or no"},
		{"no-search", "maybe", "want true or false"},
		{"port", "0", "want a port number"},
		{"hook", "nowhere", "want host or container"},
		{"own", "nobody", "want no, auto or yes"},
		{"warn", "much", "want a number and a unit"},
		{"addresses", "many", "want a number of addresses"},
	} {
		_, err := given(t, "", map[string][]string{test.key: {test.value}}).Load()
		if !errors.As(err, new(*failure.WrongError)) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("--%s %s: got %v, want %s", test.key, test.value, err, test.want)
		}
		in := given(t, "", nil)
		in.Environment = func(name string) (string, bool) {
			return test.value, name == "SSMONITOR_"+strings.ToUpper(strings.ReplaceAll(test.key, "-", "_"))
		}
		if _, err = in.Load(); err == nil || !strings.Contains(err.Error(), "SSMONITOR_") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("the variable of %s: got %v, want its name and %s", test.key, err, test.want)
		}
	}
	for _, text := range []string{"", "0d", "d", "90", "-1d", "101y", "1.5y", "1wd", "3mo", "65536y", "90D"} {
		if got, err := given(t, "", map[string][]string{"keep-days": {text}}).Load(); err == nil || !strings.Contains(err.Error(), "want a time from 1d to 100y") {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	if got, err := given(t, "", map[string][]string{"keep-days": {"100y"}, "charts": {"none"}}).Load(); err != nil || got.KeepDays != 36500*24*time.Hour || got.Charts != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := given(t, "charts: all\n", nil).Load(); err != nil || got.Charts != math.MaxInt {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestFileShowsNoValue has a password in every key whose values have a form. Its file and
// position are named, and what is wanted.
func TestFileShowsNoValue(t *testing.T) {
	const secret = "hunter2"
	for _, test := range []struct{ file, position, want string }{
		{"hook: hunter2\n", "line 1, column 7", "key hook: want host or container"},
		{"own: hunter2\n", "line 1, column 6", "key own: want no, auto or yes"},
		{"# first\nport: [20000, \"hunter2\"]\n", "line 2, column 15", "key port: want a port number"},
		{"port: [20000/hunter2]\n", "line 1, column 8", "key port: want tcp or udp"},
		{"port: [20000@hunter2]\n", "line 1, column 8", "key port: want the address"},
		{"port: {hunter2: 1}\n", "line 1, column ", "want a text, or a list of texts"},
		{"interval: hunter2\n", "line 1, column 11", "key interval: want a duration"},
		{"interval: [hunter2]\n", "line 1, column 11", "key interval: want one value, found a list"},
		{"save-interval: hunter2\n", "line 1, column 16", "key save-interval: want a duration"},
		{"month-day: hunter2\n", "line 1, column 12", "key month-day: want a number"},
		{"zone: hunter2\n", "line 1, column 7", "key zone: want a name of the time zone database"},
		{"keep-hours: hunter2\n", "line 1, column 13", "key keep-hours: want a time"},
		{"listen: hunter2\n", "line 1, column 9", "key listen: want an address and a port"},
		{"metrics-names: hunter2\n", "line 1, column 16", "key metrics-names: want yes or no"},
		{"hook: host\nwarn: hunter2\n", "line 2, column 7", "key warn: want a number and a unit"},
		{"warn: {alice: hunter2}\n", "line 1, column 15", "key warn: want a number and a unit"},
		{"warn: {hunter2: 1GB, ' hunter2': 2GB}\n", "line 1, column 34", "key warn: want one limit for this client"},
		{"warn: {hunter2: [1GB]}\n", "line 1, column 17", "key warn: want a limit"},
		{"addresses: hunter2\n", "line 1, column 12", "key addresses: want a number of addresses"},
		{"any-protocol: hunter2\n", "line 1, column 15", "want true or false"},
		{"server_password: hunter2\n", "line 1, column 1", `unknown key "server_password"`},
		{"hunter2: [8388]\n", "line 1, column 1", "unknown key (not shown)"},
		{"hunter2: 1\nhunter2: 2\n", "line 2, column 1", "stands in line 1 already"},
		{"{\"password\": \"hunter2\", \"server_port\": 8388}\n", "line 1, column ", "unknown key"},
		{"hook: 'hunter2\n", "line 1, column 7", "want YAML"},
		{"hunter2\n", "line 1, column 1", "want keys with values"},
		{"- hunter2\n", "line 1, column 1", "want keys with values"},
		{"hook: !hunter2 [x\n", "line 1, column ", "want YAML"},
		{"hook: *hunter2\n", "line 1, column 7", "key hook: want one value, found a reference (*)"},
		{"{\n", "line 1, column ", "want YAML"},
	} {
		in := given(t, test.file, nil)
		_, err := in.Load()
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s: %s", in.File, test.position)) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %s and %s", test.file, err, test.position, test.want)
		} else if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "unter") {
			t.Errorf("%q: the value is shown: %v", test.file, err)
		}
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "csv:\n"} {
		if _, err := given(t, empty, nil).Load(); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

// TestEveryMistakeInTheFile has mistakes in keys of several commands: each command finds
// all of them, and has what is right.
func TestEveryMistakeInTheFile(t *testing.T) {
	in := given(t, "month-day: 31\ninterval: 5\nwarn: 100\nkeep-hours: forever\nchart: all\nport:\n- 20000: alice\nsocket: /x.sock\n", nil)
	in.Keys = Keys(func(string) string { return "" }, "socket", "interval")
	got, err := in.Load()
	if got == nil || got.Socket != "/x.sock" || got.Interval != 2*time.Second || got.Given("interval") {
		t.Errorf("got %+v, want what is right", got)
	}
	file, ok := errors.AsType[*FileError](err)
	if !ok || !errors.As(err, new(*failure.WrongError)) {
		t.Fatalf("got %v, want a FileError", err)
	}
	want := []string{
		"line 1, column 12: key month-day: want a number from 1 to 28, since not every month has more days, found 31",
		"line 2, column 11: key interval: want a duration with its unit, such as 500ms, 2s or 1m30s: write 5s for seconds, found 5",
		"line 3, column 7: key warn: want a number and a unit, as in 500MB, 100GB or 1.5TiB, found 100",
		"line 4, column 13: key keep-hours: want a time from 1d to 100y in days, weeks or years, as in 90d, 12w or 2y, found a text",
		"line 5, column 1: unknown key \"chart\" (did you mean charts?)",
		"line 7, column 3: key port: want a text, or a list of texts, found keys with values",
	}
	for i, mistake := range file.Mistakes {
		if i >= len(want) || mistake.Cause.Error() != want[i] {
			t.Errorf("mistake %d: got %v", i, mistake.Cause)
		}
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(want) || !strings.HasPrefix(lines[5], "reading the settings: "+in.File+": line 7") {
		t.Errorf("got %v", err)
	}
}

// TestFormerName gives the list of ports under the name that the key had.
func TestFormerName(t *testing.T) {
	variables := func(names ...string) func(string) (string, bool) {
		return func(name string) (string, bool) { return "/variable", slices.Contains(names, name) }
	}
	for _, test := range []struct {
		name        string
		file        string
		flags       map[string][]string
		environment func(string) (string, bool)
		list, note  string
		err         string
	}{
		{"in the file", "# first\nports: /x\n", nil, variables(), "/x", "config.yaml: line 2: the key ports is now called list", ""},
		{"as a variable", "", nil, variables("SSMONITOR_PORTS"), "/variable", "SSMONITOR_PORTS is now called SSMONITOR_LIST", ""},
		{"as a flag", "", map[string][]string{"ports": {"/x"}}, variables("SSMONITOR_LIST"), "/x", "--ports is now called --list", ""},
		{"both in the file", "list: /x\nports: /y\n", nil, variables(), "", "", "line 2, column 1: key ports: line 1 has it under its other name: remove ports"},
		{"both in the file, the former first", "ports: /x\nlist: /y\n", nil, variables(), "", "", "line 2, column 1: key list: line 1 has it under its other name: remove ports"},
		{"both as variables", "", nil, variables("SSMONITOR_LIST", "SSMONITOR_PORTS"), "", "", "SSMONITOR_LIST and SSMONITOR_PORTS are the same setting: give only SSMONITOR_LIST"},
		{"in place of port", "ports: [20000=alice]\n", nil, variables(), "", "", "line 1, column 8: key ports: want one value, found a list: it names the file with the list; ports themselves go to clients.yaml, or to the key port"},
		{"both as flags", "", map[string][]string{"ports": {"/x"}, "list": {"/y"}}, variables(), "", "", "--list and --ports are the same setting: give only --list"},
	} {
		in := given(t, test.file, test.flags)
		in.Environment = test.environment
		got, err := in.Load()
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: got %v, want %s", test.name, err, test.err)
			}
		case err != nil || got.List != test.list || len(got.Notes) != 1 || !strings.HasSuffix(got.Notes[0], test.note) || !got.Given("list"):
			t.Errorf("%s: got %+v, %v", test.name, got, err)
		}
	}
}

// TestCommasInNames gives a name with a comma in every place.
func TestCommasInNames(t *testing.T) {
	const spec, name = "20000=Smith, John", "Smith, John"
	for place, in := range map[string]Inputs{
		"the file":            given(t, "port:\n- "+spec+"\n- 20001\nwarn:\n  Smith, John: 1GB\n", nil),
		"brackets":            given(t, "port: ['"+spec+"', 20001]\nwarn: [\"Smith, John=1GB\"]\n", nil),
		"a scalar":            given(t, "port: "+spec+"\nwarn: Smith, John=1GB\n", nil),
		"a flag":              given(t, "", map[string][]string{"port": {spec}, "warn": {name + "=1GB"}}),
		"variables of lines":  given(t, "", nil),
		"a line that is last": given(t, "", nil),
	} {
		in.Environment = func(variable string) (string, bool) {
			lines := map[string]map[string]string{
				"variables of lines":  {"SSMONITOR_PORT": spec + "\n20001", "SSMONITOR_WARN": "2GB\n" + name + "=1GB"},
				"a line that is last": {"SSMONITOR_PORT": spec + "\n", "SSMONITOR_WARN": name + "=1GB\n"},
			}
			value, found := lines[place][variable]
			return value, found
		}
		got, err := in.Load()
		if err != nil {
			t.Errorf("%s: %v", place, err)
			continue
		}
		if limit, _ := got.Warn.For(usage.ClientOf(name, 1)); len(got.Ports) == 0 || got.Ports[0].Name != name || limit != 1e9 {
			t.Errorf("%s: got %+v and the limit %d", place, got.Ports, limit)
		}
	}
	in := given(t, "", nil)
	in.Environment = func(variable string) (string, bool) { return spec, variable == "SSMONITOR_PORT" }
	if _, err := in.Load(); err == nil || !strings.Contains(err.Error(), `SSMONITOR_PORT: port "John": want a port number`) || !strings.Contains(err.Error(), "write each in a line of its own") {
		t.Errorf("a variable of one line: got %v", err)
	}
}
