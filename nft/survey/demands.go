package survey

import "github.com/google/nftables/expr"

// demands is what conditions on the way require of the destination.
//
// A demand holds within the rule that makes it, and in the chains that the rule leads
// to. It does not hold behind the rule, where other packets go on as well: those to
// other hosts, which are not followed. It is kept only if the rule ends the others,
// with a verdict right behind the condition that excludes them:
//
//	fib daddr type local tcp dport 22 accept # the next rule is for other hosts, too
//	fib daddr type != local return           # the next rule is for this host only
type demands struct {
	toHost    bool // a condition on the way holds for addresses of this host only
	toNetwork bool // a condition on the way holds for a range of destination addresses
}

func (d demands) and(other demands) demands {
	return demands{d.toHost || other.toHost, d.toNetwork || other.toNetwork}
}

// exceed reports whether d has a demand that other has not.
func (d demands) exceed(other demands) bool { return d.and(other) != other }

// endsRule reports whether what gets to the rest of a rule does not go on with the next one.
func endsRule(rest []any) bool {
	for _, expression := range rest {
		switch e := expression.(type) {
		case *expr.Verdict:
			return e.Kind != expr.VerdictContinue && e.Kind != expr.VerdictJump
		case *expr.Reject:
			return true
		case *expr.Counter, ignored:
		default:
			return false
		}
	}
	return false
}

// noteMark remembers what is demanded where a rule sets the mark, and demands it where
// another one asks for the mark.
func (t *thread) noteMark(expression any) {
	asks := false
	switch e := expression.(type) {
	case *expr.Meta:
		asks = !e.SourceRegister && e.Key == expr.MetaKeyMARK
	case *expr.Ct:
		asks = !e.SourceRegister && e.Key == expr.CtKeyMARK
	case *expr.Match:
		asks = e.Name == "mark" || e.Name == "connmark"
	case *expr.Target: // may keep a part of the mark, or copy it
		asks = setsMark(e)
	}
	if asks {
		t.demands = t.and(t.byMark)
	}
	if setsMark(expression) {
		t.byMark = t.demands
	}
}
