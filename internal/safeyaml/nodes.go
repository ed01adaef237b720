package safeyaml

import (
	"bytes"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"ssmonitor/internal/spelling"
)

// Node is a value of a text, with its position. It is for use inside [Read] only. Tags,
// anchors and references to these are no values.
type Node struct{ node ast.Node }

// Pair is a key of a map, with its value.
type Pair struct{ key, Value Node }

// byteOrderMark is what some editors begin a text with.
const byteOrderMark = "\ufeff"

// Read calls visit with the value of the text, and returns its error. An empty text has the
// value null. Other errors are as those of [Decode]; in a text for people, a second document
// is one, since nobody would read it, and so is another encoding than UTF-8.
func Read(text []byte, visit func(Node) error) error {
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	if !utf8.Valid(text) {
		return &Error{lineOfInvalid(text), 1, "want UTF-8, as editors save it: there is a character in another encoding"}
	}
	return Walk(text, func(file *ast.File) error {
		var root Node
		for _, document := range file.Docs {
			body := Node{document.Body}
			if _, directive := body.node.(*ast.DirectiveNode); directive || body.IsNull() {
				continue
			}
			if root.node != nil {
				return body.Wrong("one document, without --- before another")
			}
			root = body
		}
		return visit(root)
	})
}

func lineOfInvalid(text []byte) int {
	line := 1
	for part := range bytes.Lines(text) {
		if !utf8.Valid(part) {
			break
		}
		line++
	}
	return line
}

// IsNull reports whether nothing stands there, or null.
func (n Node) IsNull() bool { return n.node == nil || n.node.Type() == ast.NullType }

// IsBool reports whether the value is true or false, without quotation marks.
func (n Node) IsBool() bool { return n.node != nil && n.node.Type() == ast.BoolType }

// Scalar returns the text of a single value, as it stands there.
func (n Node) Scalar() (string, bool) {
	switch node := n.node.(type) {
	case *ast.StringNode:
		return node.Value, true
	case *ast.LiteralNode:
		return node.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, true
	}
	return "", false
}

// Items returns the values of a list. Any other value is a list of one.
func (n Node) Items() []Node {
	list, ok := n.node.(*ast.SequenceNode)
	if !ok {
		return []Node{n}
	}
	items := make([]Node, len(list.Values))
	for i, item := range list.Values {
		items[i] = Node{item}
	}
	return items
}

// Pairs returns the pairs of a map, in the order of the text, and whether it is one.
func (n Node) Pairs() ([]Pair, bool) {
	var values []*ast.MappingValueNode
	switch node := n.node.(type) {
	case *ast.MappingNode:
		values = node.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{node}
	default:
		return nil, false
	}
	pairs := make([]Pair, len(values))
	for i, value := range values {
		pairs[i] = Pair{keyOf(value), Node{value.Value}}
	}
	return pairs, true
}

// keyOf returns the key of a pair, also of the form "? KEY".
func keyOf(pair *ast.MappingValueNode) Node {
	if explicit, ok := pair.Key.(*ast.MappingKeyNode); ok && explicit.Value != nil {
		return Node{explicit.Value}
	}
	return Node{pair.Key}
}

// Position returns where the value begins, from 1; the column in characters.
func (n Node) Position() (line, column int) {
	if at := n.token(); at != nil && at.Position != nil {
		return at.Position.Line, at.Position.Column
	}
	return 1, 1
}

// token returns the first token of the value: the library has the colon for that of a map.
func (n Node) token() *token.Token {
	switch node := n.node.(type) {
	case nil:
		return nil
	case *ast.MappingValueNode:
		return keyOf(node).token()
	case *ast.MappingNode:
		if !node.IsFlowStyle && len(node.Values) > 0 {
			return keyOf(node.Values[0]).token()
		}
	}
	return n.node.GetToken()
}

// Wrong returns the error of a value that should be another: "want WANT". It does not show
// the value.
func (n Node) Wrong(want string) *Error { return n.error("want " + want) }

// WrongKind is Wrong for a value of another kind, which it names: "want WANT, found a list".
func (n Node) WrongKind(want string) *Error { return n.Wrong(want + ", found " + n.kind()) }

func (n Node) error(reason string) *Error {
	line, column := n.Position()
	return &Error{line, column, reason}
}

// kind names what stands there as people call it. It shows a value only if that is a small
// number, which is no password.
func (n Node) kind() string {
	if n.IsNull() {
		return "nothing"
	}
	const digits = 3
	switch node := n.node.(type) {
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode:
		if text := node.GetToken().Value; len(text) <= digits {
			return text
		}
		return "a number"
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.TagNode:
		return "a tag (!)"
	case *ast.AnchorNode:
		return "an anchor (&)"
	case *ast.AliasNode:
		return "a reference (*)"
	}
	return "something else"
}

// IsWord reports whether the key is a single value, rather than a list, a map or a
// reference.
func (p Pair) IsWord() bool {
	_, ok := p.key.Scalar()
	return ok || p.key.IsNull()
}

// Key returns the name of the key.
func (p Pair) Key() string { return p.key.token().Value }

// Position returns where the key begins.
func (p Pair) Position() (line, column int) { return p.key.Position() }

// WrongKey returns an error at the key. It does not show the key.
func (p Pair) WrongKey(reason string) *Error { return p.key.error(reason) }

// Unknown returns the error for a key that is none of the known ones. It suggests the most
// similar of them, and shows the key only if it is a word: anything else may be a password
// in the wrong place.
func (p Pair) Unknown(known []string) *Error {
	return p.key.error("unknown key " + Word(p.Key()) + spelling.DidYouMean(spelling.Closest(p.Key(), known)))
}
