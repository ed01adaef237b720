package safeyaml

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// marked is what libraries put in quotation marks: from the first to the last one,
// since there may be some in a value.
var marked = regexp.MustCompile("(?s)`.*`|'.*'|\".*\"")

const notShown = "(not shown)"

// Conceal returns in one line what another library says about a text, without the
// values, and without keys that are not words: they may be passwords. If there were any,
// the position of the first one precedes the line. shown reports whether the values of a
// key, such as paths, may be shown.
func Conceal(text []byte, message string, shown func(key string) bool) string {
	var values []*token.Token
	if err := Walk(text, func(file *ast.File) error {
		for _, document := range file.Docs {
			values = appendHidden(values, document.Body, shown)
		}
		return nil
	}); err != nil {
		return err.Error() // in words of ours
	}
	original := message
	message = marked.ReplaceAllString(message, notShown)
	slices.SortStableFunc(values, func(a, b *token.Token) int { return cmp.Compare(len(b.Value), len(a.Value)) })
	const shortest = 4 // what is shorter is in the words of every message
	place := ""
	for _, value := range values {
		for line := range strings.SplitSeq(value.Value, "\n") {
			if line = strings.TrimSpace(line); len(line) >= shortest && strings.Contains(original, line) {
				message = strings.ReplaceAll(message, line, notShown)
				place = cmp.Or(place, fmt.Sprintf("line %d, column %d: ", value.Position.Line, value.Position.Column))
			}
		}
	}
	return place + strings.Join(strings.Fields(message), " ")
}

// appendHidden appends the values below a node that are not to be shown.
func appendHidden(values []*token.Token, node ast.Node, shown func(key string) bool) []*token.Token {
	switch node := node.(type) {
	case *ast.MappingNode:
		for _, entry := range node.Values {
			values = appendHidden(values, entry, shown)
		}
	case *ast.MappingValueNode:
		key := node.Key.GetToken()
		if !word.MatchString(`"` + key.Value + `"`) {
			values = append(values, key)
		}
		if !shown(key.Value) {
			values = appendHidden(values, node.Value, shown)
		}
	case *ast.SequenceNode:
		for _, entry := range node.Values {
			values = appendHidden(values, entry, shown)
		}
	case *ast.AnchorNode:
		values = appendHidden(append(values, node.Name.GetToken()), node.Value, shown)
	case *ast.TagNode:
		values = appendHidden(append(values, node.GetToken()), node.Value, shown)
	case *ast.LiteralNode:
		values = append(values, node.Value.GetToken())
	case nil:
	default:
		if at := node.GetToken(); at != nil && at.Position != nil {
			values = append(values, at)
		}
	}
	return values
}
