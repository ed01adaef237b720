package settings

import (
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for the key zone on hosts and in containers without it

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/accounting/usage"
	"ssmonitor/integration/portlist"
	"ssmonitor/nft"
)

// ShortestInterval is the shortest time between two readings.
const ShortestInterval = 100 * time.Millisecond

const (
	longestInterval = time.Hour
	lastMonthDay    = 28
	mostKeepDays    = 100 * 365
)

// parser reads the values of the key into the settings. Its error is an
// *accounting.InvalidError or a *portlist.SpecError.
type parser = func(k *Key, s *Settings, values []string) error

func text(field func(*Settings) *string) parser {
	return func(_ *Key, s *Settings, values []string) error {
		*field(s) = last(values)
		return nil
	}
}

func texts(field func(*Settings) *[]string) parser {
	return func(_ *Key, s *Settings, values []string) error {
		*field(s) = values
		return nil
	}
}

func directory(field func(*Settings) *string) parser {
	return func(_ *Key, s *Settings, values []string) error {
		*field(s) = filepath.Clean(last(values))
		return nil
	}
}

func yes(field func(*Settings) *bool) parser {
	return func(k *Key, s *Settings, values []string) error {
		on, err := strconv.ParseBool(last(values))
		*field(s) = on
		return invalid(err, k.Name, last(values), "true or false")
	}
}

// last returns the value that counts of a key that is not repeatable.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// invalid returns an error of the house for one of the standard library.
func invalid(err error, key, value, want string) error {
	if err == nil {
		return nil
	}
	return &accounting.InvalidError{Name: key, Text: value, Want: want}
}

func ports(_ *Key, s *Settings, values []string) error {
	s.Ports, s.Targets, s.PortSpecs = nil, nil, values
	for _, value := range values {
		ports, targets, err := portlist.ParseSpec(value)
		if err != nil {
			return err
		}
		s.Ports, s.Targets = append(s.Ports, ports...), append(s.Targets, targets...)
	}
	return nil
}

func hook(_ *Key, s *Settings, values []string) (err error) {
	s.Hook, err = nft.ParseHook(last(values))
	return err
}

func own(_ *Key, s *Settings, values []string) (err error) {
	s.Own, err = nft.ParseOwn(last(values))
	return err
}

func interval(field func(*Settings) *time.Duration, shortest time.Duration) parser {
	return func(k *Key, s *Settings, values []string) (err error) {
		*field(s), err = ParseInterval(k.Name, last(values), shortest)
		return err
	}
}

// ParseInterval reads the interval that a key or flag has, of at most an hour.
func ParseInterval(name, text string, shortest time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		want := "a duration with its unit, such as 500ms, 2s or 1m30s"
		if _, seconds := time.ParseDuration(text + "s"); seconds == nil {
			want += ": write " + text + "s for seconds"
		}
		return 0, invalid(err, name, text, want)
	case d < shortest || d > longestInterval:
		return 0, &accounting.InvalidError{Name: name, Text: text, Want: shortest.String() + " to 1h"}
	}
	return d, nil
}

func monthDay(k *Key, s *Settings, values []string) (err error) {
	s.MonthDay, err = strconv.Atoi(last(values))
	if err == nil && (s.MonthDay < 1 || s.MonthDay > lastMonthDay) {
		err = strconv.ErrRange
	}
	return invalid(err, k.Name, last(values), "a number from 1 to 28, since not every month has more days")
}

func keep(field func(*Settings) *time.Duration) parser {
	return func(k *Key, s *Settings, values []string) error {
		text := last(values)
		digits := strings.TrimRight(text, "dwy")
		n, err := strconv.ParseUint(digits, 10, 16)
		days := map[string]uint64{"d": 1, "w": 7, "y": 365}[text[len(digits):]] * n
		if err == nil && (days == 0 || days > mostKeepDays) {
			err = strconv.ErrRange
		}
		*field(s) = time.Duration(days) * 24 * time.Hour
		return invalid(err, k.Name, text, "a time from 1d to 100y in days, weeks or years, as in 90d, 12w or 2y")
	}
}

func zone(k *Key, s *Settings, values []string) (err error) {
	name := last(values)
	if name == "" {
		s.Zone = hostZone()
		return nil
	}
	s.Zone, err = time.LoadLocation(name)
	if name == "Local" {
		err = errors.New("that is no name of a zone")
	}
	return invalid(err, k.Name, name, "a name of the time zone database, such as Europe/Berlin or UTC")
}

// hostZone returns the zone of TZ or /etc/localtime, under its name if that is known.
func hostZone() *time.Location {
	name := os.Getenv("TZ")
	if name == "" {
		target, _ := os.Readlink("/etc/localtime") // else the zone has no name
		_, name, _ = strings.Cut(target, "zoneinfo/")
	}
	if zone, err := time.LoadLocation(name); err == nil && name != "" {
		return zone
	}
	return time.Local
}

func listen(k *Key, s *Settings, values []string) error {
	s.Listen = last(values)
	if s.Listen == "" {
		return nil
	}
	_, _, err := net.SplitHostPort(s.Listen)
	return invalid(err, k.Name, s.Listen, "an address and a port, as in 127.0.0.1:10977")
}

func metricsNames(k *Key, s *Settings, values []string) error {
	value := last(values)
	s.MetricsNames = value == "yes"
	if value != "yes" && value != "no" {
		return &accounting.InvalidError{Name: k.Name, Text: value, Want: "yes or no"}
	}
	return nil
}

func charts(k *Key, s *Settings, values []string) error {
	switch value := last(values); value {
	case "all":
		s.Charts = math.MaxInt
	case "none":
		s.Charts = 0
	default:
		number, err := strconv.ParseUint(value, 10, 16)
		s.Charts = int(number)
		return invalid(err, k.Name, value, "a number of ports, such as 100, or all or none")
	}
	return nil
}

func warn(_ *Key, s *Settings, values []string) (err error) {
	s.Warn, err = usage.ParseLimits(values)
	return err
}

func addresses(_ *Key, s *Settings, values []string) (err error) {
	s.Addresses, err = connections.ParseLimits(values)
	return err
}

// fault returns what the values of a key should be. It shows no value: somebody may have
// named another file, or have put a password in the wrong line.
func fault(err error) string {
	if wrong, ok := errors.AsType[*accounting.InvalidError](err); ok {
		return wrong.Want
	}
	if wrong, ok := errors.AsType[*portlist.SpecError](err); ok {
		return wrong.Expected
	}
	return "another value"
}

// find returns the key with the name, or nil.
func find(keys []Key, name string) *Key {
	if i := slices.IndexFunc(keys, func(key Key) bool { return key.Name == name }); i >= 0 {
		return &keys[i]
	}
	return nil
}
