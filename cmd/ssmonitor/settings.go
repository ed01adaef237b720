package main

import (
	"errors"
	"net"
	"strconv"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/connections"
	"ssmonitor/accounting/usage"
	"ssmonitor/integration/portlist"
	"ssmonitor/nft"
)

// settingFault checks the values of a key of the settings, before any is in force. It
// returns what they should be, or the empty string. It shows no value: somebody may
// have named another file with --config, or have put a password in the wrong line.
func settingFault(name string, values []string) string {
	err := parseSetting(name, values)
	if wrong, ok := errors.AsType[*accounting.InvalidError](err); ok {
		return wrong.Want
	}
	if wrong, ok := errors.AsType[*portlist.SpecError](err); ok {
		return wrong.Expected
	}
	if err != nil {
		return "another value"
	}
	return ""
}

// parseSetting parses the values as the command will.
func parseSetting(name string, values []string) (err error) {
	if name == "warn" {
		_, err = usage.ParseLimits(values)
		return err
	}
	if name == "addresses" {
		_, err = connections.ParseLimits(values)
		return err
	}
	for _, value := range values {
		switch name {
		case "hook":
			_, err = nft.ParseHook(value)
		case "own":
			_, err = nft.ParseOwn(value)
		case "port":
			_, _, err = portlist.ParseSpec(value)
		case "charts":
			_, err = parseCharts(value)
		case "metrics-names":
			_, err = parseMetricsNames(value)
		case "zone":
			_, err = loadZone(value)
		case "keep-hours", "keep-days":
			_, err = parseKeep(name, value)
		case "month-day":
			_, err = strconv.Atoi(value)
			err = invalid(err, name, value, "a number from 1 to 28")
		case "interval", "save-interval":
			_, err = time.ParseDuration(value)
			err = invalid(err, name, value, "a duration with its unit, such as 500ms, 2s or 1m30s")
		case "listen":
			_, _, err = net.SplitHostPort(value)
			err = invalid(err, name, value, "an address and a port, as in 127.0.0.1:10977")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// invalid returns an error of the house for one of the standard library, which may
// quote the value.
func invalid(err error, name, value, want string) error {
	if err == nil {
		return nil
	}
	return &accounting.InvalidError{Name: name, Text: value, Want: want}
}
