package usage

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"ssmonitor/accounting"
)

// byteUnits are the units of [ParseSize] in lower case. One letter is decimal.
var byteUnits = map[string]uint64{
	"b":  1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "pb": 1e15,
	"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "pib": 1 << 50,
}

const wantSize = "a number and a unit, as in 500MB, 100GB or 1.5TiB"

// ParseSize reads a number of bytes such as 100GB (10^9 bytes each) or 1.5TiB
// (2^40 bytes each). It rounds to the nearest byte.
func ParseSize(text string) (uint64, error) {
	trimmed := strings.TrimSpace(text)
	digits := strings.TrimRight(trimmed, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, known := byteUnits[strings.ToLower(trimmed[len(digits):])]
	digits = strings.TrimSpace(digits)
	whole, fraction, pointed := strings.Cut(digits, ".")
	if !known || len(digits) > 32 || !isDigits(whole) || pointed && !isDigits(fraction) {
		return 0, &accounting.InvalidError{Name: "size", Text: text, Want: wantSize}
	}
	number, _ := new(big.Rat).SetString(digits)
	number.Mul(number, new(big.Rat).SetUint64(unit))
	number.Add(number, big.NewRat(1, 2))
	bytes := new(big.Int).Div(number.Num(), number.Denom())
	if !bytes.IsUint64() || bytes.Uint64() > math.MaxInt64 {
		return 0, &accounting.InvalidError{Name: "size", Text: text, Want: "less than 9223PB"}
	}
	return bytes.Uint64(), nil
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// Limits are what clients may use before a warning: bytes in a month, received and sent
// together, or addresses at the same time.
type Limits struct {
	Default uint64            // of every client that Clients does not have; 0: no limit
	Clients map[string]uint64 // as the operator wrote the client; 0: no limit
}

// ParseLimits reads limits: SIZE for every client, or CLIENT=SIZE for one.
// The size "none" exempts the client.
func ParseLimits(texts []string) (Limits, error) {
	return ParseList("warn", "alice=50GB", texts, parseLimit)
}

// ParseList reads the limits of a setting with the name.
func ParseList(name, example string, texts []string, parse func(string) (uint64, error)) (Limits, error) {
	limits := Limits{Clients: make(map[string]uint64)}
	var defaults int
	for _, text := range texts {
		client, size := "", text
		if i := strings.LastIndexByte(text, '='); i >= 0 {
			client, size = text[:i], text[i+1:]
			if strings.TrimSpace(client) == "" {
				return limits, &accounting.InvalidError{Name: name, Text: text, Want: "a client before the equals sign, as in " + example}
			}
		}
		limit, err := parse(size)
		if wrong, ok := errors.AsType[*accounting.InvalidError](err); ok {
			return limits, &accounting.InvalidError{Name: name, Text: text, Want: wrong.Want}
		}
		if err != nil {
			return limits, err
		}
		if client == "" {
			limits.Default = limit
			if defaults++; defaults > 1 {
				return limits, &accounting.InvalidError{Name: name, Text: text, Want: "one limit for all clients, this is the second"}
			}
			continue
		}
		client = strings.TrimSpace(client)
		if _, repeated := limits.Clients[client]; repeated {
			return limits, &accounting.InvalidError{Name: name, Text: text, Want: "one limit for this client, this is the second"}
		}
		limits.Clients[client] = limit
	}
	return limits, nil
}

func parseLimit(text string) (uint64, error) {
	if text == "none" {
		return 0, nil
	}
	bytes, err := ParseSize(text)
	if err == nil && bytes == 0 {
		err = &accounting.InvalidError{Name: "size", Text: text, Want: "more than 0 bytes, or none"}
	}
	return bytes, err
}

// For returns the limit of the client. The operator may write a port without a name as
// 20000 or as "port 20000". Forgotten clients have none.
func (l Limits) For(client ClientID) (limit uint64, limited bool) {
	if client == Forgotten {
		return 0, false
	}
	limit, found := l.Clients[client.Label()]
	if !found && client.Name == "" {
		limit, found = l.Clients[strconv.Itoa(int(client.Port))]
	}
	if !found {
		limit = l.Default
	}
	return limit, limit > 0
}

// Any reports whether any client may have a limit.
func (l Limits) Any() bool {
	for _, limit := range l.Clients {
		if limit > 0 {
			return true
		}
	}
	return l.Default > 0
}

// LimitState is what a client with a limit has used in a month.
type LimitState struct {
	Client      ClientID
	Start, End  time.Time
	Used, Limit uint64
}

// Over reports whether the client has used more than its limit.
func (s LimitState) Over() bool { return s.Used > s.Limit }

// limitStates returns the state of every client that has a limit and used
// anything, by month and then by usage, the most first. The rows have to be by
// month.
func limitStates(months []Row, limits Limits) []LimitState {
	if !limits.Any() {
		return nil
	}
	var states []LimitState
	for _, period := range periodsOf(months) {
		sortClients(period.Clients, SortUsage)
		for _, client := range period.Clients {
			if limit, limited := limits.For(client.ID()); limited {
				states = append(states, LimitState{client.ID(), period.Start, period.End, client.Bytes(), limit})
			}
		}
	}
	return states
}

// Crossing says that a client has come over its limit, or that it no longer is.
type Crossing struct {
	Client      ClientID
	Port        uint16    // 0: all of the client's ports together
	Month       time.Time // when it began; zero: the limit is of what is at the same time
	Used, Limit uint64
	Over        bool
}

// LimitWatch finds the clients that exceed their limit, each once per month.
type LimitWatch struct {
	limits   Limits
	reported map[limitKey]bool
}

type limitKey struct {
	client ClientID
	month  int64 // Unix time of its start
}

// NewLimitWatch returns a watch for which the clients that are over their limit
// in the saved usage have been reported already. Pass it the month as the store has
// it before the first reading, or nil if it has none: then a restart repeats no
// warning, and clients that exceed their limit while the agent is not running are
// still reported.
func NewLimitWatch(limits Limits, saved *Month) *LimitWatch {
	w := &LimitWatch{limits: limits}
	if saved != nil {
		w.Check(saved)
	}
	return w
}

// SetLimits replaces the limits. What was reported stays so while it is over its limit.
func (w *LimitWatch) SetLimits(limits Limits) { w.limits = limits }

// Check returns the clients that are over their limit and were not before. Earlier
// months are forgotten.
func (w *LimitWatch) Check(month *Month) (crossed []Crossing) {
	reported := make(map[limitKey]bool)
	for _, state := range limitStates(month.Rows, w.limits) {
		if !state.Over() {
			continue
		}
		key := limitKey{state.Client, state.Start.Unix()}
		if reported[key] = true; !w.reported[key] {
			crossed = append(crossed, Crossing{Client: state.Client, Month: state.Start, Used: state.Used, Limit: state.Limit, Over: true})
		}
	}
	w.reported = reported
	return crossed
}
