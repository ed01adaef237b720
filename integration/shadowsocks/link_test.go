package shadowsocks

import (
	"strings"
	"testing"
)

// Of a link, nothing but the scheme and the port gets into memory.
func TestReduceLink(t *testing.T) {
	const unknown = "ss://" // which is no port
	for link, want := range map[string]string{
		"":                                   "",
		":8080":                              "another://:8080",
		"ss://m:QZQZQ@:8338":                 "ss://:8338",
		"ss://m:QZ@QZQ@0.0.0.0:8338?a=b":     "ss://:8338",
		"ss://m:QZQZQ@[::]:8338/path#QZQZQ":  "ss://:8338",
		"SS+KCP://m:QZQZQ@:8338":             "ss+udp://:8338",
		"ssu+wss://m:QZQZQ@localhost:8338":   "ssu+tcp://:8338",
		"ss://:8338":                         "ss://:8338",
		"vmess://1:QZQZQ@:12345":             "vmess://:12345",
		"QZQZQ+QZQZQ://:8338":                "another+tcp://:8338",
		"tcp://:443/198.51.100.7:9000":       "tcp://:443",
		"ss://m:12345":                       unknown, // the password of a link without an address
		"ss://m:QZ@QZ:12345":                 unknown,
		"ss://QZQZQ":                         unknown,
		"ss://m:QZQZQ@":                      unknown,
		"ss://m:QZQZQ@:0":                    unknown,
		"ss://m:QZQZQ@:QZQZQ":                unknown,
		"ss://m:QZQZQ@:123456":               unknown,
		"ss://m:QZQZQ@:8338?key=QZ@QZQ":      unknown,
		"ss://bTpRWlFaUUAxOTIuMC4yLjEwOjgz":  unknown,
		"12345":                              "another://",
		"QZQZQ://server.example.org":         "another://",
		"ss://m:QZQZQ@server.example.org:80": unknown,
	} {
		if got := reduceLink(link); got != want {
			t.Errorf("%s: got %q, want %q", link, got, want)
		}
	}
	for _, text := range []string{`{"ServeNodes": ["ss://m:QZQZQ@:8338", "QZQZQ"], "ss-config": "ss://m:QZQZQ@:1", "vmess-config": 12345}`} {
		for name, parse := range map[string]func([]byte) (value, error){"JSON": parseJSON5, "YAML": parseYAML} {
			v, err := parse([]byte(text))
			if got := spell(v); err != nil || got != "{ServeNodes[ss://:8338 another://] ss-config=ss://:1 vmess-config="+map[string]string{"JSON": "", "YAML": "another://"}[name]+"}" || strings.Contains(got, "QZ") {
				t.Errorf("%s: got %s, %v", name, got, err)
			}
		}
	}
}

// Of a protocol_param, nothing but the number of users gets into memory.
func TestReduceUsers(t *testing.T) {
	for param, want := range map[string]string{
		"": "", "64": "", "1:QZQZQ": "", "#": "0", "64#": "0", "#1:QZQZQ": "1", "64#1:QZQZQ,2:QZQZQ": "2", "64#1:QZQZQ,QZQZQ,2:Q:Z": "1",
	} {
		if got := reduceUsers(param); got != want {
			t.Errorf("%s: got %q, want %q", param, got, want)
		}
	}
	text := `{"protocol_param": "64#1:QZQZQ", "servers": [{"protocol_param": 12345}, {"protocol_param": ["QZQZQ"]}]}`
	for name, parse := range map[string]func([]byte) (value, error){"JSON": parseJSON5, "YAML": parseYAML} {
		v, err := parse([]byte(text))
		if got := spell(v); err != nil || got != "{protocol_param=1 servers[{protocol_param=} {protocol_param[]}]}" {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
}

// What may be a key in the wrong place is no name of a file.
func TestReducePath(t *testing.T) {
	for text, want := range map[string]string{
		"/etc/shadowsocks-go/upsks.json": "upsks.json", "upsks.json": "upsks.json", "": "", "QZ/QZQ==": "", "QZQZQ": "",
	} {
		if got := reducePath(text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
