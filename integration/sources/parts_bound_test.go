package sources_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ssmonitor/integration/sources"
)

// Each of many parts could be compared with all inbounds of all others.
func TestPartsAreReadInTime(t *testing.T) {
	const (
		files    = 512
		inbounds = 30
		inTime   = 10 * time.Second
	)
	root := t.TempDir()
	for i := range files {
		var list strings.Builder
		for j := range inbounds {
			fmt.Fprintf(&list, `{"port": 443, "protocol": "vless", "settings": {"fallbacks": [{"dest": %d}]}},`, i*inbounds+j+1)
			fmt.Fprint(&list, `{"listen": "127.0.0.1", "port": "1-65535", "protocol": "shadowsocks"},`)
		}
		write(t, root, fmt.Sprintf("etc/xray/conf/%d.json", i), `{"inbounds": [`+strings.TrimSuffix(list.String(), ",")+`]}`)
	}
	begin := time.Now()
	if _, err := sources.Follow(sources.Sources{SearchRoot: root, Host: fieldHost}).Load(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > inTime {
		t.Errorf("took %v", took)
	}
}
