package shadowsocks

import "strings"

// isXray recognises Xray, V2Ray and Marzban's configuration of Xray by the
// protocol of the inbounds and outbounds.
func isXray(root node) bool {
	return anyHas(root, "protocol", "inbounds", "outbounds", "inboundDetour") || root.at("inbound").has("protocol") ||
		root.has("inbounds", "outbounds")
}

func readXray(c *collector, root node) {
	inbounds := root.at("inbounds").objects()
	if inbound := root.at("inbound"); inbound.is(kindObject) { // of V2Ray before version 4
		inbounds = append(inbounds, inbound)
	}
	c.readInbounds(append(inbounds, root.at("inboundDetour").objects()...), root)
	refuseOutbounds(c, root, "protocol")
}

// shownPorts returns ports as the file spells them, if that is all that is there.
func shownPorts(port node) string {
	if port.kind != kindNumber && port.kind != kindText || len(port.scalar) > 32 || strings.Trim(port.scalar, "0123456789-, ") != "" {
		return "a port"
	}
	const longest = len("65535")
	for number := range strings.FieldsFuncSeq(port.scalar, func(r rune) bool { return r < '0' || r > '9' }) {
		if len(number) > longest {
			return "a port"
		}
	}
	return port.scalar
}

// portRange is the ports from first to last.
type portRange struct{ first, last uint16 }

func (r portRange) len() int { return int(r.last) - int(r.first) + 1 }

// readPorts reads a port, or a text with several and with ranges. After a mistake it reads
// none: a hostile file could have very many.
func readPorts(c *collector, port node) (numbers []uint16) {
	if c.mistakes.first != nil {
		return nil
	}
	for _, r := range readRanges(c, port) {
		if len(numbers)+r.len() > maxPorts {
			port.fail("too long", "at most 131070 ports")
			return nil
		}
		for number := int(r.first); number <= int(r.last); number++ {
			numbers = append(numbers, uint16(number))
		}
	}
	return numbers
}

// readRanges reads a port, or a text with several and with ranges, as
// "20000,20010-20019". The value of env:NAME is known to the server only.
func readRanges(c *collector, port node) (ranges []portRange) {
	if !port.is(kindText) {
		number := port.port()
		return []portRange{{number, number}}
	}
	for word := range strings.FieldsFuncSeq(port.scalar, func(r rune) bool { return r == ',' || r == '/' }) {
		word = strings.TrimSpace(word)
		if strings.HasPrefix(word, "env:") {
			c.missing("%s comes from the environment of the server: name it with --port", port.place)
			continue
		}
		low, high, isRange := strings.Cut(word, "-")
		if !isRange {
			high = low
		}
		r := portRange{port.portIn(strings.TrimSpace(low)), port.portIn(strings.TrimSpace(high))}
		switch {
		case r.first == 0 || r.last == 0:
			return nil
		case r.last < r.first:
			port.fail("not a range", "a range that begins with its lower port, as 20000-20009")
			return nil
		}
		ranges = append(ranges, r)
	}
	return ranges
}
