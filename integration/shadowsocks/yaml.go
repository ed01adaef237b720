package shadowsocks

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const (
	// maxYAMLSize is lower than maxSize, since the library takes hundreds of times the
	// memory of a list, and a time that grows with its square.
	maxYAMLSize = 256 << 10
	// maxYAMLDepth bounds the nesting that one line can begin.
	maxYAMLDepth = 1000
)

// parseYAML reads the first document of a YAML file. Like [parseJSON5] it keeps
// the content of known values only. Its error is a *SyntaxError or a
// *ValueError: those of the library quote the text.
func parseYAML(data []byte) (value, error) {
	if len(data) > maxYAMLSize {
		return value{}, &ValueError{"the file", "too large", "at most 256 KiB of YAML"}
	}
	if line := tooDeep(data); line > 0 {
		return value{}, &SyntaxError{Line: line, Column: 1, YAML: true}
	}
	file, err := safeParseYAML(data)
	if err != nil {
		return value{}, yamlPosition(err)
	}
	converter := yamlConverter{anchors: make(map[string]ast.Node)}
	for _, document := range file.Docs {
		if document.Body == nil {
			continue
		}
		v := converter.value(document.Body, "", true)
		return v, converter.err
	}
	return value{kind: kindNull}, nil
}

// safeParseYAML turns a panic of the library into an error: a defect there must
// not end the agent.
func safeParseYAML(data []byte) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			err = &SyntaxError{Line: 1, Column: 1, YAML: true}
		}
	}()
	return parser.ParseBytes(data, 0)
}

// tooDeep returns the number of the line that nests too much, or 0. The library
// is recursive, and a stack that overflows can't be recovered.
func tooDeep(data []byte) int {
	flow, number := 0, 0
	for line := range bytes.Lines(data) {
		number++
		opened := bytes.Count(line, []byte("[")) + bytes.Count(line, []byte("{"))
		flow += opened - bytes.Count(line, []byte("]")) - bytes.Count(line, []byte("}"))
		nested := bytes.Count(line, []byte("- ")) + bytes.Count(line, []byte("? ")) +
			bytes.Count(line, []byte("!")) + bytes.Count(line, []byte("&"))
		if opened > maxYAMLDepth || flow > maxYAMLDepth || nested > maxYAMLDepth {
			return number
		}
	}
	return 0
}

// yamlConverter turns the library's tree into values.
type yamlConverter struct {
	anchors map[string]ast.Node
	depth   int
	values  int
	err     error
}

func (c *yamlConverter) fail(at ast.Node, expected string) value {
	if c.err == nil {
		c.err = &ValueError{place(at), "not valid", expected}
	}
	return value{kind: kindNull}
}

func place(at ast.Node) string {
	if token := at.GetToken(); token != nil && token.Position != nil {
		return fmt.Sprintf("the value at line %d, column %d", token.Position.Line, token.Position.Column)
	}
	return "a value"
}

// value converts the value of a key. Where keep is false, only the kind is kept.
func (c *yamlConverter) value(from ast.Node, key string, keep bool) value {
	c.values++
	if c.depth++; c.depth > maxDepth || c.values > maxValues {
		return c.fail(from, "a configuration with fewer values, or less nesting of aliases")
	}
	defer func() { c.depth-- }()
	scalar := func(k kind, text string) value {
		if !keep {
			text = ""
		}
		return value{kind: k, scalar: text}
	}
	switch from := from.(type) {
	case nil, *ast.NullNode:
		return value{kind: kindNull}
	case *ast.BoolNode:
		return scalar(kindBool, fmt.Sprint(from.Value))
	case *ast.IntegerNode:
		return scalar(kindNumber, fmt.Sprint(from.Value))
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return scalar(kindNumber, from.GetToken().Value)
	case *ast.StringNode:
		return scalar(kindText, from.Value)
	case *ast.LiteralNode:
		return scalar(kindText, from.Value.Value)
	case *ast.TagNode:
		return c.value(from.Value, key, keep)
	case *ast.AnchorNode:
		c.anchors[from.Name.GetToken().Value] = from.Value
		return c.value(from.Value, key, keep)
	case *ast.AliasNode:
		target, found := c.anchors[from.Value.GetToken().Value]
		if !found {
			return c.fail(from, "an alias of an anchor above it")
		}
		return c.value(target, key, keep)
	case *ast.SequenceNode:
		return c.list(from, key, keep)
	case *ast.MappingNode:
		return c.object(from.Values, key, keep)
	case *ast.MappingValueNode:
		return c.object([]*ast.MappingValueNode{from}, key, keep)
	}
	return c.fail(from, "a scalar, a list or a mapping")
}

func (c *yamlConverter) list(from *ast.SequenceNode, key string, keep bool) value {
	v := value{kind: kindList}
	for _, entry := range from.Values {
		if child := c.value(entry, key, keep); keep {
			v.items = append(v.items, child)
		}
	}
	return v
}

func (c *yamlConverter) object(entries []*ast.MappingValueNode, parent string, keep bool) value {
	v := value{kind: kindObject}
	var merged []member // the object's own keys count before these
	for _, entry := range entries {
		if entry.Key.IsMergeKey() {
			merged = append(merged, c.merge(entry.Value, parent, keep)...)
			continue
		}
		key := entry.Key.GetToken().Value
		kept, content := keeps(parent, key)
		child := c.value(entry.Value, key, keep && content)
		if keep && kept {
			v.members = append(v.members, member{key, child})
		}
	}
	v.members = append(merged, v.members...)
	return v
}

// merge returns the members of the mapping, or of the mappings, under <<.
func (c *yamlConverter) merge(from ast.Node, parent string, keep bool) (members []member) {
	v := c.value(from, parent, keep)
	for _, item := range slices.Backward(v.items) { // the first of several counts
		members = append(members, item.members...)
	}
	return append(members, v.members...)
}
