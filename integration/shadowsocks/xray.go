package shadowsocks

import "strings"

// isXray recognises Xray, V2Ray and Marzban's configuration of Xray by the
// protocol of the inbounds and outbounds.
func isXray(root node) bool {
	return anyHas(root, "protocol", "inbounds", "outbounds", "inboundDetour") || root.at("inbound").has("protocol") ||
		root.has("inbounds", "outbounds")
}

func readXray(c *collector, root node) error {
	inbounds, err := root.at("inbounds").objects()
	if err != nil {
		return err
	}
	if inbound := root.at("inbound"); inbound.is(kindObject) { // of V2Ray before version 4
		inbounds = append(inbounds, inbound)
	}
	more, err := root.at("inboundDetour").objects()
	if err != nil {
		return err
	}
	if err := c.readInbounds(append(inbounds, more...), root); err != nil {
		return err
	}
	return refuseOutbounds(c, root, "protocol")
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

// readPorts reads a port, or a text with several and with ranges.
func readPorts(c *collector, port node) (numbers []uint16, err error) {
	ranges, err := readRanges(c, port)
	for _, r := range ranges {
		if len(numbers)+r.len() > maxPorts {
			return nil, &ValueError{port.place, "too long", "at most 131070 ports"}
		}
		for number := int(r.first); number <= int(r.last); number++ {
			numbers = append(numbers, uint16(number))
		}
	}
	return numbers, err
}

// readRanges reads a port, or a text with several and with ranges, as
// "20000,20010-20019". The value of env:NAME is known to the server only.
func readRanges(c *collector, port node) (ranges []portRange, err error) {
	if !port.is(kindText) {
		number, err := port.port()
		return []portRange{{number, number}}, err
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
		var r portRange
		if r.first, err = parsePort(port.place, strings.TrimSpace(low)); err != nil {
			return nil, err
		}
		if r.last, err = parsePort(port.place, strings.TrimSpace(high)); err != nil {
			return nil, err
		}
		if r.last < r.first {
			return nil, &ValueError{port.place, "not a range", "a range that begins with its lower port, as 20000-20009"}
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}
