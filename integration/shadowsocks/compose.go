package shadowsocks

import (
	"os"
	"path/filepath"
	"strings"
)

// composeFiles are the names that docker compose looks for, those that count most last.
var composeFiles = [...]string{
	"docker-compose.yaml", "docker-compose.yml", "compose.yaml", "compose.yml",
	"docker-compose.override.yaml", "docker-compose.override.yml", "compose.override.yaml", "compose.override.yml",
}

// readCompose reads the environment of a panel in a container, whose database is in a
// directory beside docker-compose.yml. Its folder there is one of the container.
func (e *environment) readCompose(directory string) {
	outside := &environment{variables: make(map[string]variable)}
	outside.readFile(filepath.Join(directory, ".env"))
	e.paths = append(e.paths, outside.paths...)
	var later []func() // what is in the file itself counts before what it refers to
	for _, name := range composeFiles {
		path := filepath.Join(directory, name)
		for _, line := range e.lines(path) {
			if value, found := composeValue(line, outside.variables[variableKind].value); found {
				later = append(later, func() { e.set(path, variableKind, value) })
			}
			for _, word := range wordsOf(line) {
				if word = strings.Trim(word, inFlow); strings.HasSuffix(word, ".env") && filepath.IsLocal(word) {
					e.readFile(filepath.Join(directory, word))
				}
			}
		}
	}
	for _, set := range later {
		set()
	}
	delete(e.variables, variableFolder)
}

// composeValue returns the kind of database in a line of a Compose file, where the
// environment is a list or a map. A value may be left to the file .env.
func composeValue(line, outside string) (value string, found bool) {
	words := wordsOf(line)
	for i, word := range words {
		rest, isKind := strings.CutPrefix(strings.TrimLeft(word, inFlow), variableKind)
		rest = withoutFlow(rest)
		switch {
		case !isKind || rest != "" && rest[0] != ':' && rest[0] != '=':
			continue
		case rest == "" || rest == ":" && i+1 == len(words):
			return outside, true
		case rest == ":":
			rest += withoutFlow(words[i+1])
		}
		return os.Expand(rest[1:], func(name string) string {
			name, otherwise, _ := strings.Cut(name, "-")
			if strings.TrimSuffix(name, ":") == variableKind && outside != "" {
				return outside
			}
			return otherwise
		}), true
	}
	return "", false
}

// inFlow is what surrounds the words of a YAML list or map on one line.
const inFlow = "{}[],"

// withoutFlow returns a word without what follows it on one line, except the end of ${...}.
func withoutFlow(word string) string {
	if name, _, found := strings.Cut(word, "}"); found && strings.Contains(name, "${") {
		return name + "}"
	}
	return strings.TrimRight(word, inFlow)
}
