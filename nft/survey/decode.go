package survey

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// opaque is an expression that is not understood. It may write any register and
// may end the rule.
type opaque struct{ name string }

// ignored is an expression that changes nothing that matters here.
type ignored struct{}

// attributes calls visit with each attribute of a message or a nested attribute.
func attributes(data []byte, visit func(ad *netlink.AttributeDecoder)) error {
	ad, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		visit(ad)
	}
	return ad.Err()
}

// nested decodes the attributes within one.
func nested(ad *netlink.AttributeDecoder, visit func(ad *netlink.AttributeDecoder)) {
	ad.Do(func(data []byte) error { return attributes(data, visit) })
}

// decodeRule decodes the payload of NFT_MSG_NEWRULE.
func decodeRule(payload []byte) (chain objectID, r rule, err error) {
	family, data := header(payload)
	chain.table.family = nftables.TableFamily(family)
	err = attributes(data, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_RULE_TABLE:
			chain.table.name = ad.String()
		case unix.NFTA_RULE_CHAIN:
			chain.name = ad.String()
		case unix.NFTA_RULE_HANDLE:
			r.handle = ad.Uint64()
		case unix.NFTA_RULE_EXPRESSIONS:
			nested(ad, func(ad *netlink.AttributeDecoder) {
				ad.Do(func(data []byte) error {
					e, err := decodeExpression(family, data)
					r.expressions = append(r.expressions, e)
					return err
				})
			})
		}
	})
	r.expressions = joinRanges(r.expressions)
	return chain, r, err
}

// joinRanges makes a range of two comparisons with its ends, as nft writes ranges,
// so that what lies in it is known in one step.
func joinRanges(expressions []any) (joined []any) {
	for _, expression := range expressions {
		upper, isUpper := expression.(*expr.Cmp)
		if n := len(joined); n > 0 && isUpper && upper.Op == expr.CmpOpLte {
			lower, ok := joined[n-1].(*expr.Cmp)
			if ok && lower.Op == expr.CmpOpGte && lower.Register == upper.Register && len(lower.Data) == len(upper.Data) {
				joined[n-1] = &expr.Range{Op: expr.CmpOpEq, Register: lower.Register, FromData: lower.Data, ToData: upper.Data}
				continue
			}
		}
		joined = append(joined, expression)
	}
	return joined
}

// header divides a payload into the family of struct nfgenmsg and the attributes
// after it.
func header(payload []byte) (family byte, data []byte) {
	const length = 4 // sizeof(struct nfgenmsg)
	if len(payload) < length {
		return 0, nil
	}
	return payload[0], payload[length:]
}

// decodeExpression decodes one expression. The library's own way to read a rule
// leaves out what it can't decode, which would change the rule's meaning.
func decodeExpression(family byte, data []byte) (expression any, err error) {
	values, err := valuesOf(data)
	if err != nil {
		return nil, err
	}
	name, body := text(values[unix.NFTA_EXPR_NAME]), values[unix.NFTA_EXPR_DATA]
	switch name {
	case "last", "log", "objref":
		return ignored{}, nil
	case "tproxy":
		return tproxy{}, nil
	case "notrack":
		return &expr.Notrack{}, nil
	case "immediate":
		return decodeImmediate(body)
	case "byteorder":
		return decodeByteorder(body)
	}
	readable := (name != "bitwise" || isMask(body)) && (name != "target" || family != unix.NFPROTO_IPV4 || hasOneRange(body))
	if create := decodable[name]; create != nil && readable {
		if known := create(); unmarshal(family, body, known) {
			return native(known), nil
		}
	}
	if slices.Contains([]string{"nat", "redir", "target"}, name) {
		return &expr.Target{Name: name}, nil // does something, but not known what
	}
	return opaque{name}, nil
}

// unmarshal reports whether the library can decode an expression, which panics on
// what no kernel sends.
func unmarshal(family byte, body []byte, known expr.Any) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return expr.Unmarshal(family, body, known) == nil
}

// decodable has the expressions that the library decodes.
var decodable = map[string]func() expr.Any{
	"bitwise":      func() expr.Any { return &expr.Bitwise{} },
	"cmp":          func() expr.Any { return &expr.Cmp{} },
	"counter":      func() expr.Any { return &expr.Counter{} },
	"ct":           func() expr.Any { return &expr.Ct{} },
	"dup":          func() expr.Any { return &expr.Dup{} },
	"dynset":       func() expr.Any { return &expr.Dynset{} },
	"fib":          func() expr.Any { return &expr.Fib{} },
	"flow_offload": func() expr.Any { return &expr.FlowOffload{} },
	"hash":         func() expr.Any { return &expr.Hash{} },
	"lookup":       func() expr.Any { return &expr.Lookup{} },
	"match":        func() expr.Any { return &expr.Match{} },
	"meta":         func() expr.Any { return &expr.Meta{} },
	"nat":          func() expr.Any { return &expr.NAT{} },
	"numgen":       func() expr.Any { return &expr.Numgen{} },
	"payload":      func() expr.Any { return &expr.Payload{} },
	"queue":        func() expr.Any { return &expr.Queue{} },
	"range":        func() expr.Any { return &expr.Range{} },
	"redir":        func() expr.Any { return &expr.Redir{} },
	"reject":       func() expr.Any { return &expr.Reject{} },
	"target":       func() expr.Any { return &expr.Target{} },
}

// hasOneRange returns false if a target's struct nf_nat_ipv4_multi_range_compat
// has any other number of ranges than one, which the kernel requires: the library
// would allocate that many. Other targets don't have the struct.
func hasOneRange(body []byte) bool {
	values, err := valuesOf(body)
	name, info := text(values[unix.NFTA_TARGET_NAME]), values[unix.NFTA_TARGET_INFO]
	several := number(values[unix.NFTA_TARGET_REV]) == 0 && slices.Contains([]string{"DNAT", "SNAT", "MASQUERADE", "REDIRECT"}, name)
	return err == nil && (!several || len(info) >= 4 && binary.NativeEndian.Uint32(info) == 1)
}

// isMask reports whether a bitwise expression masks a value: the others shift it,
// or combine registers.
func isMask(body []byte) bool {
	const attrOp = 6 // NFTA_BITWISE_OP; NFT_BITWISE_MASK_XOR is 0
	values, err := valuesOf(body)
	return err == nil && number(values[attrOp]) == 0
}

func decodeByteorder(body []byte) (any, error) {
	values, err := valuesOf(body)
	return &expr.Byteorder{
		SourceRegister: number(values[unix.NFTA_BYTEORDER_SREG]), DestRegister: number(values[unix.NFTA_BYTEORDER_DREG]),
		Len: number(values[unix.NFTA_BYTEORDER_LEN]), Size: number(values[unix.NFTA_BYTEORDER_SIZE]),
	}, err
}

// valuesOf returns the values of attributes by their types.
func valuesOf(data []byte) (values map[uint16][]byte, err error) {
	values = make(map[uint16][]byte)
	err = attributes(data, func(ad *netlink.AttributeDecoder) { values[ad.Type()] = ad.Bytes() })
	return values, err
}

// number returns the number in an attribute, 0 if there is none.
func number(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

// text returns the text in an attribute, which ends with a zero.
func text(value []byte) string { return strings.TrimRight(string(value), "\x00") }

func decodeImmediate(body []byte) (any, error) {
	e := &expr.Immediate{}
	var verdict *expr.Verdict
	err := attributes(body, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_IMMEDIATE_DREG:
			e.Register = ad.Uint32()
		case unix.NFTA_IMMEDIATE_DATA:
			e.Data, verdict = decodeData(ad)
		}
	})
	if verdict != nil {
		return verdict, err
	}
	return e, err
}

// decodeData decodes what is in a register or an element: a value or a verdict.
func decodeData(ad *netlink.AttributeDecoder) (value []byte, verdict *expr.Verdict) {
	nested(ad, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_DATA_VALUE:
			value = ad.Bytes()
		case unix.NFTA_DATA_VERDICT:
			verdict = &expr.Verdict{}
			nested(ad, func(ad *netlink.AttributeDecoder) {
				switch ad.Type() {
				case unix.NFTA_VERDICT_CODE:
					verdict.Kind = expr.VerdictKind(int32(ad.Uint32()))
				case unix.NFTA_VERDICT_CHAIN:
					verdict.Chain = ad.String()
				}
			})
		}
	})
	return value, verdict
}

// decodeSet decodes the payload of NFT_MSG_NEWSET.
func decodeSet(payload []byte) (id objectID, s set, err error) {
	family, data := header(payload)
	id.table.family = nftables.TableFamily(family)
	err = attributes(data, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_SET_TABLE:
			id.table.name = ad.String()
		case unix.NFTA_SET_NAME:
			s.name = ad.String()
			id.name = s.name
		case unix.NFTA_SET_FLAGS:
			flags := ad.Uint32()
			s.anonymous = flags&unix.NFT_SET_ANONYMOUS != 0
			s.intervals = flags&unix.NFT_SET_INTERVAL != 0 && flags&nftables.NFT_SET_CONCAT == 0
		case unix.NFTA_SET_KEY_LEN:
			s.keyLength = int(min(ad.Uint32(), registerBytes))
		}
	})
	return id, s, err
}

const elementCatchAll = 2 // NFT_SET_ELEM_CATCHALL

// decodeElements decodes the payload of NFT_MSG_NEWSETELEM.
func decodeElements(payload []byte) (elements []entry, err error) {
	_, data := header(payload)
	err = attributes(data, func(ad *netlink.AttributeDecoder) {
		if ad.Type() != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return
		}
		nested(ad, func(ad *netlink.AttributeDecoder) {
			var e entry
			nested(ad, e.decode)
			if !e.byField {
				e.keys.last = e.keys.first
			}
			if e.catchAll {
				e.keys = interval{}
			}
			if e.catchAll || len(e.keys.first) > 0 && len(e.keys.last) == len(e.keys.first) {
				elements = append(elements, e)
			}
		})
	})
	return elements, err
}

func (e *entry) decode(ad *netlink.AttributeDecoder) {
	switch ad.Type() {
	case unix.NFTA_SET_ELEM_KEY:
		e.keys.first, _ = decodeData(ad)
	case nftables.NFTA_SET_ELEM_KEY_END:
		e.keys.last, _ = decodeData(ad)
		e.byField = true
	case unix.NFTA_SET_ELEM_DATA:
		e.value, e.verdict = decodeData(ad)
	case unix.NFTA_SET_ELEM_FLAGS:
		flags := ad.Uint32()
		e.intervalEnd = flags&unix.NFT_SET_ELEM_INTERVAL_END != 0
		e.catchAll = flags&elementCatchAll != 0
	}
}
