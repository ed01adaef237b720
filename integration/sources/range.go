package sources

import "fmt"

// portRange is one port or several that follow one another, about which a note says the
// same: a mistaken range is no reason for thousands of notes.
type portRange struct{ First, Last uint16 }

func onePort(port uint16) portRange { return portRange{port, port} }

func (r portRange) followedBy(port uint16) bool { return int(port) == int(r.Last)+1 }

// String returns the range as --port has it.
func (r portRange) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// with returns the ports with a verb for one or for several.
func (r portRange) with(one, several string) string {
	if r.First == r.Last {
		return fmt.Sprintf("port %s %s", r, one)
	}
	return fmt.Sprintf("ports %s %s", r, several)
}
