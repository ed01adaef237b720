package shadowsocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"ssmonitor/internal/configfile"
)

// panelEnvironments are where the installers of 3x-ui write the environment of its service,
// by distribution: internal/config of https://github.com/MHSanaei/3x-ui.
var panelEnvironments = [...]string{"etc/default/x-ui", "etc/conf.d/x-ui", "etc/sysconfig/x-ui"}

// panelUnits are the directories of its unit, the one that counts least first.
var panelUnits = [...]string{"usr/lib/systemd/system", "lib/systemd/system", "etc/systemd/system"}

// panelUnit is where the installers write the unit.
const panelUnit = "etc/systemd/system/x-ui.service"

// panelDatabase is where the panel has its database unless its environment names
// another folder.
const panelDatabase = "etc/x-ui/x-ui.db"

// errSilent means that nothing about the file needs a note.
var errSilent = errors.New("the panel has its inbounds in its usual database")

// The variables that say where a panel has its inbounds.
const (
	variableKind   = "XUI_DB_TYPE"
	variableFolder = "XUI_DB_FOLDER"
)

// environment is that of a panel, as far as it says where the inbounds are.
type environment struct {
	variables map[string]variable
	paths     []string // of what was read, or would have been
}

type variable struct{ value, path string }

// environmentOf returns the environment of the panel whose database is at path.
func environmentOf(path string) *environment {
	e := &environment{variables: make(map[string]variable)}
	switch root, found := strings.CutSuffix(path, "/"+panelDatabase); {
	case found:
		e.readService(root)
	case filepath.Base(path) == filepath.Base(panelDatabase):
		e.readCompose(filepath.Dir(filepath.Dir(path)))
	}
	return e
}

// lines returns the lines of a file, none if it can't be read, and records its path.
func (e *environment) lines(path string) (lines []string) {
	e.paths = append(e.paths, path)
	text, _ := configfile.Read(path, maxSize)
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// set sets a variable that matters. The last one counts.
func (e *environment) set(path, name, value string) {
	if name == variableKind || name == variableFolder {
		e.variables[name] = variable{value, path}
	}
}

// readFile reads a file with a variable on each line.
func (e *environment) readFile(path string) {
	for _, line := range e.lines(path) {
		e.readLine(path, line)
	}
}

func (e *environment) readLine(path, line string) {
	for _, word := range wordsOf(strings.TrimPrefix(line, "Environment=")) {
		name, value, _ := strings.Cut(word, "=")
		e.set(path, name, value)
	}
}

// readService reads the environment of a panel that is a service of the host. What its
// files say counts before what its unit says, and this before the panel's own file.
func (e *environment) readService(root string) {
	e.readFile(root + "/usr/local/x-ui/.env")
	var files []string
	for _, unit := range e.unitsOf(root) {
		for _, line := range e.lines(unit) {
			setting, named, _ := strings.Cut(line, "=")
			switch named = strings.TrimSpace(named); {
			case strings.TrimSpace(setting) != "EnvironmentFile":
				e.readLine(unit, line)
			case named == "":
				files = nil
			default:
				files = append(files, matching(root+strings.TrimPrefix(named, "-"))...)
			}
		}
	}
	for _, usual := range panelEnvironments {
		e.readFile(root + "/" + usual)
	}
	for _, path := range files { // one of the usual ones as well, where it is named
		e.readFile(path)
	}
}

// unitsOf returns the files with the unit of a panel, the last of which counts. Others may be
// added to its directories.
func (e *environment) unitsOf(root string) (paths []string) {
	var additions []string
	for _, directory := range panelUnits {
		unit := filepath.Join(root, "/", directory, "x-ui.service")
		paths = append(paths, unit)
		e.paths = append(e.paths, unit+".d")
		found, _ := filepath.Glob(unit + ".d/*.conf") // fails for a malformed pattern
		additions = append(additions, found...)
	}
	slices.SortStableFunc(additions, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return append(paths, additions...)
}

// matching returns the files that match a pattern, or the pattern if none does yet.
func matching(pattern string) []string {
	if found, _ := filepath.Glob(pattern); len(found) > 0 { // fails for a malformed pattern
		return found
	}
	return []string{pattern}
}

// isPanelEnvironment reports whether the file at path is one with the environment of a panel
// in the usual places. The root of its file system is returned as well.
func isPanelEnvironment(path string) (root string, is bool) {
	for _, environment := range append(panelEnvironments[:], panelUnit) {
		if root, is = strings.CutSuffix(path, "/"+environment); is {
			return root, true
		}
	}
	return "", false
}

// movedTo says where the panel has its inbounds, in words, what to do, and which file says
// so. It is empty where they are in the usual database.
func (e *environment) movedTo() (words, path string) {
	kind, folder := e.variables[variableKind], e.variables[variableFolder]
	switch strings.ToLower(strings.TrimSpace(kind.value)) {
	case "postgres", "postgresql", "pg":
		return "the panel keeps its inbounds in PostgreSQL, which is not read: name their ports with --port", kind.path
	}
	if folder.value = filepath.Clean(folder.value); !filepath.IsAbs(folder.value) || folder.value == "/etc/x-ui" {
		return "", ""
	}
	database := filepath.Join(folder.value, "x-ui.db")
	if strings.ContainsAny(database, " \t'\"") {
		database = strconv.Quote(database)
	}
	return fmt.Sprintf("the panel keeps its inbounds in %[1]s: name that with --shadowsocks %[1]s", database), folder.path
}

// wordsOf returns the words of a line without their quotes. A comment ends the line.
func wordsOf(line string) (words []string) {
	word, quote, begun := strings.Builder{}, rune(0), false
	for _, r := range line + " " {
		switch {
		case !begun && (r == '#' || r == ';'):
			return words
		case quote == 0 && unicode.IsSpace(r):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
			continue
		case r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		default:
			word.WriteRune(r)
		}
		begun = true
	}
	return words
}

// noteMoved notes that the panel left a database behind. Its ports are counted all the
// same: most of them were copied, and one that is not in use any more counts nothing.
func (c *collector) noteMoved(path string) {
	if words, by := environmentOf(path).movedTo(); words != "" {
		c.note("the ports may be stale, since by %s %s", by, words)
	}
}

// readEnvironment reads the environment of a panel that has its inbounds elsewhere. Of its
// files in the usual places, the one that says so is worth a word, or else the unit.
func readEnvironment(root, path string) (Config, error) {
	if _, err := configfile.Read(path, maxSize); err != nil {
		return Config{}, err
	}
	database := filepath.Join(root, "/", panelDatabase)
	words, by := environmentOf(database).movedTo()
	_, usual := isPanelEnvironment(by)
	worthy := by == path || !usual && strings.HasSuffix(path, "/"+panelUnit)
	if _, err := os.Stat(database); err == nil || words == "" || !worthy {
		return Config{}, fmt.Errorf("%s: as the environment of %s: %w", path, form3XUI.Program, errSilent)
	}
	return Config{}, fmt.Errorf("%s: as the environment of %s: %w: %s", path, form3XUI.Program, ErrNoPorts, words)
}
