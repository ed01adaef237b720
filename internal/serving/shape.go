package serving

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"ssmonitor/internal/safeyaml"
)

// unmarshaler is a value of the toolkit that is a text in YAML.
type unmarshaler interface {
	UnmarshalYAML(unmarshal func(any) error) error
}

// fits reports the first key or value that a type of the toolkit can't have: the toolkit's
// own errors show its types in Go. What YAML refers to elsewhere is left to the toolkit.
func fits(node safeyaml.Node, want reflect.Type) *safeyaml.Error {
	pairs, isMap := node.Pairs()
	text, isScalar := node.Scalar()
	items := node.Items()
	isList := len(items) != 1 || items[0] != node
	switch {
	case node.IsNull() || !isMap && !isScalar && !isList:
		return nil
	case reflect.PointerTo(want).Implements(reflect.TypeFor[unmarshaler]()) || want.Kind() == reflect.String:
		return unless(isScalar, node, "a text")
	case want == reflect.TypeFor[time.Duration]():
		_, err := time.ParseDuration(text)
		_, errNumber := strconv.Atoi(text)
		return unless(isScalar && (err == nil || errNumber == nil), node, "a duration with its unit, such as 1s")
	}
	switch want.Kind() {
	case reflect.Struct, reflect.Map:
		if !isMap {
			return node.WrongKind("keys with values")
		}
		return fitPairs(pairs, want)
	case reflect.Slice:
		if !isList {
			return node.WrongKind("a list")
		}
		for _, item := range items {
			if mistake := fits(item, want.Elem()); mistake != nil {
				return mistake
			}
		}
	case reflect.Int:
		_, err := strconv.ParseInt(text, 0, 64)
		return unless(isScalar && err == nil, node, "a number")
	case reflect.Bool:
		words := " true false yes no on off y n "
		return unless(isScalar && strings.Contains(words, " "+strings.ToLower(text)+" "), node, "true or false")
	}
	return nil
}

func unless(right bool, node safeyaml.Node, want string) *safeyaml.Error {
	if right {
		return nil
	}
	return node.WrongKind(want)
}

// fitPairs is fits for the pairs of a struct or a map.
func fitPairs(pairs []safeyaml.Pair, want reflect.Type) *safeyaml.Error {
	const merge = "<<"
	types, known := fieldsOf(want)
	for _, pair := range pairs {
		kind := types[pair.Key()]
		switch {
		case pair.Key() == merge:
			continue
		case want.Kind() == reflect.Map:
			kind = want.Elem()
		case kind == nil:
			return pair.Unknown(known)
		}
		if mistake := fits(pair.Value, kind); mistake != nil {
			if want.Kind() == reflect.Struct { // else the key is a user or a header
				mistake.Reason = "key " + pair.Key() + ": " + mistake.Reason
			}
			return mistake
		}
	}
	return nil
}

// fieldsOf returns the types of a struct's fields by their keys, and the keys.
func fieldsOf(want reflect.Type) (types map[string]reflect.Type, keys []string) {
	types = make(map[string]reflect.Type)
	if want.Kind() != reflect.Struct {
		return types, nil
	}
	for field := range want.Fields() {
		if key, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); key != "" {
			types[key], keys = field.Type, append(keys, key)
		}
	}
	return types, keys
}
