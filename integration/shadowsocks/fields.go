package shadowsocks

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/titanous/json5"
)

// file is what is read of a configuration. Most fields are kept as they are
// spelled, since only the caller knows the place for an error.
type file struct {
	server
	PortPassword portKeys `json:"port_password"`
	Servers      []listed `json:"servers"`
	Shadowsocks  []listed `json:"shadowsocks"` // another name of servers
	LocalPort    present  `json:"local_port"`
	Locals       present  `json:"locals"`
	Obfs         present  `json:"obfs"` // only ShadowsocksR has it
}

// server is the part that a server on top and one in a list have in common.
type server struct {
	Server     setting `json:"server"`
	ServerPort setting `json:"server_port"`
	Mode       setting `json:"mode"`
	Plugin     setting `json:"plugin"`
	Remarks    setting `json:"remarks"`
	Name       setting `json:"name"`
}

// listed is a server in a list.
type listed struct {
	server
	Address  setting `json:"address"` // another name of server
	Port     setting `json:"port"`    // another name of server_port
	Disabled setting `json:"disabled"`
}

// portKeys is what is read of port_password: the keys, sorted, and whether a
// value is more than a password, as only ShadowsocksR has it.
type portKeys struct {
	keys       []string
	structured bool
}

// UnmarshalJSON takes the keys of an object.
func (p *portKeys) UnmarshalJSON(data []byte) error {
	*p = portKeys{} // of several fields of one name the last counts
	if kind := kindOf(data); kind == "null" {
		return nil
	} else if kind != "an object" {
		return &ValueError{"port_password", kind, "an object with the ports as its keys"}
	}
	var values map[string]initial
	if err := json5.Unmarshal(data, &values); err != nil {
		return err
	}
	p.keys = slices.Sorted(maps.Keys(values))
	for _, value := range values {
		p.structured = p.structured || value == '[' || value == '{'
	}
	return nil
}

// initial is the first byte of a value, which tells its kind.
type initial byte

// UnmarshalJSON takes the first byte.
func (i *initial) UnmarshalJSON(data []byte) error {
	*i = initial(data[0])
	return nil
}

// present tells that there is a value other than null, [] and {}.
type present bool

// UnmarshalJSON looks at the kind of the value.
func (p *present) UnmarshalJSON(data []byte) error {
	var entries []initial
	switch kindOf(data) {
	case "null":
		*p = false
	case "a list":
		err := json5.Unmarshal(data, &entries)
		*p = len(entries) > 0
		return err
	default:
		*p = true
	}
	return nil
}

// setting is a value as the file spells it; nil where there is none, or null.
type setting []byte

// UnmarshalJSON keeps the spelling.
func (s *setting) UnmarshalJSON(data []byte) error {
	*s = nil
	if kindOf(data) != "null" {
		*s = slices.Clone(data)
	}
	return nil
}

// kindOf says in words what a JSON5 value is.
func kindOf(value []byte) string {
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"', '\'':
		return "a text"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// or returns s, or other where there is no s.
func (s setting) or(other setting) setting {
	if s == nil {
		return other
	}
	return s
}

// text reads a text; a missing one is empty.
func (s setting) text(place string) (string, error) {
	if s == nil {
		return "", nil
	}
	var text string
	if kind := kindOf(s); kind != "a text" {
		return "", &ValueError{place, kind, "a text"}
	}
	if err := json5.Unmarshal(s, &text); err != nil {
		return "", &ValueError{place, "a text that is not valid", "a text as JSON5 spells it"}
	}
	return text, nil
}

// flag reads true or false; a missing one is false.
func (s setting) flag(place string) (bool, error) {
	if s == nil {
		return false, nil
	}
	if kind := kindOf(s); kind != "true or false" {
		return false, &ValueError{place, kind, "true or false"}
	}
	return s[0] == 't', nil
}

// port reads a port number, as a number or as a text.
func (s setting) port(place string) (uint16, error) {
	switch kind := kindOf(s); kind {
	case "a number":
		return parsePort(place, string(s))
	case "a text":
		text, err := s.text(place)
		if err != nil {
			return 0, err
		}
		return parsePort(place, text)
	default:
		return 0, &ValueError{place, kind, "a port number from 1 to 65535"}
	}
}

// parsePort reads a port number. Spellings such as 20000.0 and 2e4 are errors
// here since they are to the servers.
func parsePort(place, text string) (uint16, error) {
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 {
		return 0, portError(place, text)
	}
	return uint16(number), nil
}

// item is a setting and its place.
type item struct {
	place string
	setting
}

// items returns the entries of a list, the value itself if it is no list, and
// nothing where there is no value.
func (s setting) items(place string) ([]item, error) {
	if s == nil {
		return nil, nil
	}
	if kindOf(s) != "a list" {
		return []item{{place, s}}, nil
	}
	var list []setting
	if err := json5.Unmarshal(s, &list); err != nil {
		return nil, &ValueError{place, "a list that is not valid", "a list as JSON5 spells it"}
	}
	items := make([]item, 0, len(list))
	for i, entry := range list {
		entryPlace := fmt.Sprintf("%s[%d]", place, i)
		if entry == nil {
			return nil, &ValueError{entryPlace, "null", "a value"}
		}
		items = append(items, item{entryPlace, entry})
	}
	return items, nil
}
