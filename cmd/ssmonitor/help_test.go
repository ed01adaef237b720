package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"ssmonitor/internal/commandline"
	"ssmonitor/internal/settings"
)

// TestHelp asks for the help of the program and of every command, in each way. It fits a
// terminal, has an example, and is in the manual.
func TestHelp(t *testing.T) {
	_, manual, _ := call(t, "man")
	if strings.Contains(manual, "_complete") {
		t.Error("the manual page has a hidden command")
	}
	pages := map[string]string{"ssmonitor": "who uses how much of a Shadowsocks server, by port"}
	for _, command := range commandline.All(newApp(io.Discard, io.Discard)) {
		if !command.Hidden {
			pages[command.HelpName] = command.Usage
		}
	}
	if pages["ssmonitor client new"] == "" || pages["ssmonitor client list"] == "" {
		t.Errorf("the subcommands are missing in %q", pages)
	}
	for name, usage := range pages {
		words := strings.Fields(name)[1:]
		status, help, stderr := call(t, append(words, "--help")...)
		if status != exitDone || stderr != "" || !strings.HasPrefix(help, "NAME:\n   "+name+" - ") || !strings.Contains(help, "OPTIONS:\n") ||
			!strings.Contains(strings.Join(strings.Fields(help), " "), usage) {
			t.Errorf("%s --help: got status %d, %q and\n%s", name, status, stderr, help)
		}
		if name != "ssmonitor" && name != "ssmonitor version" && !strings.Contains(help, "Example") {
			t.Errorf("%s --help has no example", name)
		}
		_, short, _ := call(t, append(words, "-h")...)
		if _, same, _ := call(t, append([]string{"help"}, words...)...); same != help || short != help {
			t.Errorf("help of %s differs from --help:\n%s%s", name, same, short)
		}
		if name != "ssmonitor" && !strings.Contains(manual, "\n.SS "+name) {
			t.Errorf("the manual page lacks %s", name)
		}
		for line := range strings.Lines(help) {
			if width := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > 80 {
				t.Errorf("%s: %d columns in %q", name, width, line)
			}
			if strings.TrimRight(line, " \n")+"\n" != line {
				t.Errorf("%s: blanks at the end of %q", name, line)
			}
		}
	}
}

// TestNamesOfSettings looks for the names of settings in the source: a wrong one would be
// no flag, without an error.
func TestNamesOfSettings(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || !slices.Contains([]string{"settingFlags", "settingFlagsBy", "inputs", "loadInSpite"}, fmt.Sprint(call.Fun)) {
				return true
			}
			for _, argument := range call.Args {
				literal, ok := argument.(*ast.BasicLit)
				if !ok {
					continue
				}
				found++
				name, _ := strconv.Unquote(literal.Value)
				if !slices.ContainsFunc(settings.All(), func(key settings.Key) bool { return key.Name == name }) {
					t.Errorf("%s: there is no setting %q", path, name)
				}
			}
			return true
		})
	}
	if found == 0 {
		t.Error("found no name of a setting")
	}
}
