package shadowsocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"ssmonitor/internal/configfile"
)

// panelEnvironments are where the service of 3x-ui has its environment, by distribution,
// and what systemctl edit writes: internal/config of https://github.com/MHSanaei/3x-ui.
var panelEnvironments = [...]string{
	"etc/default/x-ui", "etc/conf.d/x-ui", "etc/sysconfig/x-ui", "etc/systemd/system/x-ui.service.d/override.conf",
}

// panelDatabase is where the panel has its database unless its environment names
// another folder.
const panelDatabase = "etc/x-ui/x-ui.db"

// errSilent means that nothing about the file needs a note.
var errSilent = errors.New("the panel has its inbounds in its usual database")

// environmentsOf returns the files with the environment of the panel whose database is
// at path.
func environmentsOf(path string) (paths []string) {
	if root, found := strings.CutSuffix(path, "/"+panelDatabase); found {
		for _, environment := range panelEnvironments {
			paths = append(paths, root+"/"+environment)
		}
	}
	return paths
}

// isPanelEnvironment reports whether the file at path is the environment of a panel. The
// root of its file system is returned as well.
func isPanelEnvironment(path string) (root string, is bool) {
	for _, environment := range panelEnvironments {
		if root, is = strings.CutSuffix(path, "/"+environment); is {
			return root, true
		}
	}
	return "", false
}

// movedTo says where a panel has its inbounds by its environment, in words, and what to do.
// It is empty where they are in the usual database.
func movedTo(path string) (string, error) {
	text, err := configfile.Read(path, maxSize)
	if err != nil {
		return "", err
	}
	words, folder := "", ""
	for line := range strings.Lines(string(text)) {
		for _, word := range wordsOf(strings.TrimPrefix(strings.TrimSpace(line), "Environment=")) {
			switch name, value, _ := strings.Cut(word, "="); name {
			case "XUI_DB_TYPE":
				words = ""
				if value = strings.ToLower(value); value == "postgres" || value == "postgresql" || value == "pg" {
					words = "the panel keeps its inbounds in PostgreSQL, which is not read: name their ports with --port"
				}
			case "XUI_DB_FOLDER":
				folder = filepath.Clean(value)
			}
		}
	}
	if words == "" && filepath.IsAbs(folder) && folder != "/etc/x-ui" {
		path := filepath.Join(folder, "x-ui.db")
		if strings.ContainsAny(path, " \t'\"") {
			path = strconv.Quote(path)
		}
		words = fmt.Sprintf("the panel keeps its inbounds in %[1]s: name that with --shadowsocks %[1]s", path)
	}
	return words, nil
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
	for _, environment := range environmentsOf(path) {
		if words, err := movedTo(environment); err == nil && words != "" {
			c.note("the ports may be stale, since by %s %s", environment, words)
		}
	}
}

// readEnvironment reads the environment of a panel that has its inbounds elsewhere.
func readEnvironment(root, path string) (Config, error) {
	words, err := movedTo(path)
	if err != nil {
		return Config{}, err
	}
	if _, err := os.Stat(filepath.Join(root, "/", panelDatabase)); err == nil || words == "" {
		return Config{}, fmt.Errorf("%s: as the environment of %s: %w", path, Form3XUI.Program, errSilent)
	}
	return Config{}, fmt.Errorf("%s: as the environment of %s: %w: %s", path, Form3XUI.Program, ErrNoPorts, words)
}
