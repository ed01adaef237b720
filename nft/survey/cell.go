package survey

import "slices"

// field is the part of a packet that a byte in a register comes from.
type field uint8

const (
	unknownField    field = iota
	constant              // no field: the value is known
	portField             // the port whose values the packet stands for
	addressField          // the destination address
	sourceField           // the source address
	interfaceName         // of the incoming interface
	interfaceIndex        // of the incoming interface
	addressType           // what the routing table says of the destination address
	addressTypeHere       // the same, of addresses of some interface only
	otherOrigin           // what else shows where the packet comes from
	foreignMark           // a packet mark that no rule sets
)

// cell is what is known about a byte in a register: its value, or that it is
// (byte &^ hidden) ^ xor, where the byte is number index of the field. The zero
// cell is a byte of which nothing is known.
type cell struct {
	field       field
	value       byte // of a constant
	index       byte
	hidden, xor byte
}

func constantCell(value byte) cell { return cell{field: constant, value: value} }

func fieldCell(f field, index int) cell { return cell{field: f, index: byte(index)} }

func constantCells(values []byte) []cell {
	cells := make([]cell, len(values))
	for i, value := range values {
		cells[i] = constantCell(value)
	}
	return cells
}

func fieldCells(f field, length int) []cell {
	cells := make([]cell, length)
	for i := range cells {
		cells[i] = fieldCell(f, i)
	}
	return cells
}

// through returns (c & mask) ^ xor.
func (c cell) through(mask, xor byte) cell {
	if c.field == constant {
		return constantCell(c.value&mask ^ xor)
	}
	c.hidden, c.xor = c.hidden|^mask, c.xor&mask^xor
	if c.hidden == 0xff {
		return constantCell(c.xor)
	}
	return c
}

// with returns the cell as a constant if its field has the value.
func (c cell) with(value byte) cell { return constantCell(value&^c.hidden ^ c.xor) }

func has(cells []cell, f field) bool {
	return slices.ContainsFunc(cells, func(c cell) bool { return c.field == f })
}

// fill returns the cells with the bytes of a field filled in.
func fill(cells []cell, f field, value []byte) []cell {
	filled := make([]cell, len(cells))
	for i, c := range cells {
		if c.field == f && int(c.index) < len(value) {
			c = c.with(value[c.index])
		}
		filled[i] = c
	}
	return filled
}

// orders is a set of results of a comparison that are possible.
type orders uint8

const (
	less orders = 1 << iota
	equal
	greater
)

// compare returns how the cells may compare with a value, as memcmp does.
func compare(cells []cell, value []byte) (possible orders) {
	for i, c := range cells[:min(len(cells), len(value))] {
		o := c.compare(value[i])
		possible |= o &^ equal
		if o&equal == 0 {
			return possible
		}
	}
	return possible | equal
}

func (c cell) compare(value byte) (possible orders) {
	lowest := c.xor & c.hidden
	highest := lowest | ^c.hidden
	if c.field == constant {
		lowest, highest = c.value, c.value
	}
	if lowest < value {
		possible |= less
	}
	if highest > value {
		possible |= greater
	}
	if (value^lowest)&^(lowest^highest) == 0 {
		possible |= equal
	}
	return possible
}

// answer is whether a condition holds: for the ports in must it does, for the
// other ports in may that depends on what is unknown.
type answer struct{ may, must portSet }

// answerOf asks for every class of ports. The bounds are the values that the
// cells are compared with: two ports that no bound separates are in one class.
func answerOf(cells []cell, bounds [][]byte, ask func([]cell) (may, must bool)) answer {
	if !has(cells, portField) {
		may, must := ask(cells)
		return answer{may: allIf(may), must: allIf(must)}
	}
	var may, must []PortRange
	for _, class := range portClasses(cells, bounds) {
		possible, certain := ask(fill(cells, portField, []byte{byte(class.First >> 8), byte(class.First)}))
		if possible {
			may = append(may, class)
		}
		if certain {
			must = append(must, class)
		}
	}
	return answer{newPortSet(may), newPortSet(must)}
}

func allIf(condition bool) portSet {
	if condition {
		return allPorts
	}
	return nil
}

// portClasses divides the ports at the bounds, or, where the cells hold only a
// part of a port, into single ports.
func portClasses(cells []cell, bounds [][]byte) (classes []PortRange) {
	at, whole := wholePort(cells)
	begins := []int{0, lastPort + 1}
	for _, bound := range bounds {
		if whole && at+2 <= len(bound) {
			port := int(bound[at])<<8 | int(bound[at+1])
			begins = append(begins, port, port+1)
		}
	}
	for port := 1; !whole && port <= lastPort; port++ {
		begins = append(begins, port)
	}
	slices.Sort(begins)
	begins = slices.Compact(begins)
	for i, begin := range begins[1:] {
		classes = append(classes, PortRange{uint16(begins[i]), uint16(begin - 1)})
	}
	return classes
}

// wholePort returns where in the cells the port is, if it is there once and as it
// is in the packet.
func wholePort(cells []cell) (at int, whole bool) {
	at = slices.IndexFunc(cells, func(c cell) bool { return c.field == portField })
	if at+1 >= len(cells) || has(cells[at+2:], portField) {
		return at, false
	}
	return at, cells[at] == fieldCell(portField, 0) && cells[at+1] == fieldCell(portField, 1)
}
