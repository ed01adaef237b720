package shadowsocks_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// scalar is a key, an entry or a value of JSON or YAML, in quotation marks or not.
var scalar = regexp.MustCompile(`"[^"\n]*"|'[^'\n]*'|[A-Za-z0-9_.+-]+`)

// TestMisplacedPasswordsAreNotShown puts a password in the place of each key and each
// value of the zoo: neither an error nor a note shows it.
func TestMisplacedPasswordsAreNotShown(t *testing.T) {
	const secret, longest, most = "hunter2", 1200, 50
	directory := t.TempDir()
	for family, paths := range zooFiles(t) {
		if family == "3x-ui" {
			continue
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil || len(content) == 0 || len(content) > longest {
				continue
			}
			replacement := []byte(secret)
			if content[0] == '{' {
				replacement = []byte(`"` + secret + `"`)
			}
			for _, place := range scalar.FindAllIndex(content, most) {
				changed := slices.Concat(content[:place[0]], replacement, content[place[1]:])
				config, err := parse(t, directory, string(changed), optionsFor(path))
				said := strings.Join(config.Notes, "\n")
				if err != nil {
					said += err.Error()
				}
				if strings.Contains(said, secret) {
					t.Errorf("%s/%s with a password for %s: %s", family, filepath.Base(path), content[place[0]:place[1]], said)
				}
			}
		}
	}
}
