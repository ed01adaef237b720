package terminal

import "strconv"

// Count writes a number of things, whose plural ends in s: 1 port, 3 ports.
func Count(number int, thing string) string {
	if number != 1 {
		thing += "s"
	}
	return strconv.Itoa(number) + " " + thing
}
