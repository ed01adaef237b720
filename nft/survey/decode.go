package survey

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// opaque is an expression that is not understood. It may write any register and
// may end the rule.
type opaque struct{ name string }

// ignored is an expression that changes nothing that matters here.
type ignored struct{}

// byteorder converts numbers of size bytes between the host's order and the
// network's.
type byteorder struct{ source, destination, length, size uint32 }

// element is an element of a set as the kernel lists it.
type element struct {
	key, keyEnd, value    []byte
	verdict               *expr.Verdict
	intervalEnd, catchAll bool
}

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
func decodeRule(payload []byte) (table, chain string, r rule, err error) {
	family, data := header(payload)
	err = attributes(data, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_RULE_TABLE:
			table = ad.String()
		case unix.NFTA_RULE_CHAIN:
			chain = ad.String()
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
	return table, chain, r, err
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
	var name string
	var body []byte
	err = attributes(data, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_EXPR_NAME:
			name = ad.String()
		case unix.NFTA_EXPR_DATA:
			body = ad.Bytes()
		}
	})
	if err != nil {
		return nil, err
	}
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
	if known := newExpression(family, name, body); known != nil && unmarshal(family, body, known) {
		return known, nil
	}
	if slices.Contains([]string{"nat", "redir", "target"}, name) {
		return &expr.Target{Name: name}, nil // does something, but not known what
	}
	return opaque{name}, nil
}

// unmarshal reports whether the library can decode an expression, which panics on
// what no kernel sends.
func unmarshal(family byte, body []byte, known expr.Any) (ok bool) {
	defer func() { ok = recover() == nil && ok }()
	return expr.Unmarshal(family, body, known) == nil
}

// newExpression returns an expression that the library decodes, or nil.
func newExpression(family byte, name string, body []byte) expr.Any {
	switch name {
	case "bitwise":
		if isMask(body) {
			return &expr.Bitwise{}
		}
	case "cmp":
		return &expr.Cmp{}
	case "counter":
		return &expr.Counter{}
	case "ct":
		return &expr.Ct{}
	case "dup":
		return &expr.Dup{}
	case "dynset":
		return &expr.Dynset{}
	case "fib":
		return &expr.Fib{}
	case "flow_offload":
		return &expr.FlowOffload{}
	case "hash":
		return &expr.Hash{}
	case "lookup":
		return &expr.Lookup{}
	case "match":
		return &expr.Match{}
	case "meta":
		return &expr.Meta{}
	case "nat":
		return &expr.NAT{}
	case "numgen":
		return &expr.Numgen{}
	case "payload":
		return &expr.Payload{}
	case "queue":
		return &expr.Queue{}
	case "range":
		return &expr.Range{}
	case "redir":
		return &expr.Redir{}
	case "reject":
		return &expr.Reject{}
	case "target":
		if family != unix.NFPROTO_IPV4 || hasOneRange(body) {
			return &expr.Target{}
		}
	}
	return nil
}

// hasOneRange returns false if a target's struct nf_nat_ipv4_multi_range_compat
// has any other number of ranges than one, which the kernel requires: the library
// would allocate that many. Other targets don't have the struct.
func hasOneRange(body []byte) bool {
	const ( // enum nft_target_attributes
		attrName     = 1
		attrRevision = 2
		attrInfo     = 3
	)
	var name string
	var revision uint32
	var info []byte
	err := attributes(body, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case attrName:
			name = ad.String()
		case attrRevision:
			revision = ad.Uint32()
		case attrInfo:
			info = ad.Bytes()
		}
	})
	several := revision == 0 && slices.Contains([]string{"DNAT", "SNAT", "MASQUERADE", "REDIRECT"}, name)
	return err == nil && (!several || len(info) >= 4 && binary.NativeEndian.Uint32(info) == 1)
}

// isMask reports whether a bitwise expression masks a value: the others shift it,
// or combine registers.
func isMask(body []byte) bool {
	const attrOp = 6 // NFTA_BITWISE_OP; NFT_BITWISE_MASK_XOR is 0
	mask := true
	err := attributes(body, func(ad *netlink.AttributeDecoder) {
		if ad.Type() == attrOp {
			mask = ad.Uint32() == 0
		}
	})
	return mask && err == nil
}

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

func decodeByteorder(body []byte) (any, error) {
	const ( // enum nft_byteorder_attributes
		attrSource      = 1
		attrDestination = 2
		attrLength      = 4
		attrSize        = 5
	)
	var e byteorder
	err := attributes(body, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case attrSource:
			e.source = ad.Uint32()
		case attrDestination:
			e.destination = ad.Uint32()
		case attrLength:
			e.length = ad.Uint32()
		case attrSize:
			e.size = ad.Uint32()
		}
	})
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
func decodeSet(payload []byte) (table string, s set, err error) {
	_, data := header(payload)
	err = attributes(data, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_SET_TABLE:
			table = ad.String()
		case unix.NFTA_SET_NAME:
			s.name = ad.String()
		case unix.NFTA_SET_FLAGS:
			flags := ad.Uint32()
			s.anonymous = flags&unix.NFT_SET_ANONYMOUS != 0
			s.intervals = flags&unix.NFT_SET_INTERVAL != 0 && flags&setConcat == 0
		case unix.NFTA_SET_KEY_LEN:
			s.keyLength = int(min(ad.Uint32(), registerBytes))
		}
	})
	return table, s, err
}

const (
	setConcat       = 0x80 // NFT_SET_CONCAT
	attrKeyEnd      = 10   // NFTA_SET_ELEM_KEY_END
	elementCatchAll = 2    // NFT_SET_ELEM_CATCHALL
)

// decodeElements decodes the payload of NFT_MSG_NEWSETELEM.
func decodeElements(payload []byte) (elements []element, err error) {
	_, data := header(payload)
	err = attributes(data, func(ad *netlink.AttributeDecoder) {
		if ad.Type() != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return
		}
		nested(ad, func(ad *netlink.AttributeDecoder) {
			var e element
			nested(ad, e.decode)
			if len(e.key) > 0 && (e.keyEnd == nil || len(e.keyEnd) == len(e.key)) || e.catchAll {
				elements = append(elements, e)
			}
		})
	})
	return elements, err
}

func (e *element) decode(ad *netlink.AttributeDecoder) {
	switch ad.Type() {
	case unix.NFTA_SET_ELEM_KEY:
		e.key, _ = decodeData(ad)
	case attrKeyEnd:
		e.keyEnd, _ = decodeData(ad)
	case unix.NFTA_SET_ELEM_DATA:
		e.value, e.verdict = decodeData(ad)
	case unix.NFTA_SET_ELEM_FLAGS:
		flags := ad.Uint32()
		e.intervalEnd = flags&unix.NFT_SET_ELEM_INTERVAL_END != 0
		e.catchAll = flags&elementCatchAll != 0
	}
}
