package shadowsocks_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ssmonitor/integration/shadowsocks"
)

// Each file makes as many ways from fronts to inner inbounds as it has room for.
func TestFallbacksMeantToBeEndless(t *testing.T) {
	const inbounds = 10000
	const inner = `{"listen": "127.0.0.1", "port": %q, "protocol": "shadowsocks"},`
	front := func(port, dest int) string {
		return fmt.Sprintf(`{"listen": "127.0.0.1", "port": %d, "protocol": "vless", "settings": {"fallbacks": [{"dest": %d}]}},`, port, dest)
	}
	chain := ""
	for i := range inbounds {
		chain += front(i+2, i+1)
	}
	for name, list := range map[string]string{
		"wide ranges": front(443, 1) + strings.Repeat(fmt.Sprintf(inner, strings.Repeat("1-65535,", 30)), inbounds),
		"many fronts": strings.Repeat(front(443, 1), inbounds) + strings.Repeat(fmt.Sprintf(inner, "1"), inbounds),
		"a chain":     chain + strings.Repeat(fmt.Sprintf(inner, "1"), inbounds),
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			_, err := parse(t, t.TempDir(), `{"inbounds": [`+strings.TrimSuffix(list, ",")+`]}`, shadowsocks.Options{})
			if _, mistaken := errors.AsType[*shadowsocks.ValueError](err); !mistaken {
				t.Errorf("got %v, want a *ValueError", err)
			}
			if took := time.Since(begin); took > inTime {
				t.Errorf("took %v", took)
			}
		})
	}
}
