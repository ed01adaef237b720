package processes

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/integration/portlist"
)

// TestCommandLines has those of packages, install scripts and documentation, as the
// programs themselves read them.
func TestCommandLines(t *testing.T) {
	for _, test := range []struct {
		comm, line, directory string
		want                  string
	}{
		// shadowsocks-libev
		{comm: "ss-server", line: "/usr/bin/ss-server -c /etc/ss/a.json -f /run/a.pid", want: "ss-server file:/etc/ss/a.json"},
		{comm: "ss-server", line: "ss-server -uc/etc/a.json", want: "ss-server file:/etc/a.json"},
		{comm: "ss-server", line: "ss-server -s 0.0.0.0 -s ::0 -p 8388 -k QZQZQ -m aes-256-gcm", want: "ss-server 8388/tcp"},
		{comm: "ss-server", line: "ss-server -p8388 -k QZQZQ -u", want: "ss-server 8388"},
		{comm: "ss-server", line: "ss-server -p 8388 -U -k -u", want: "ss-server 8388/udp"},
		{comm: "ss-server", line: "ss-server -p 8388 -k QZQZQ --plugin obfs-server --plugin-opts obfs=http", want: "ss-server 8388"},
		{comm: "ss-server", line: "ss-server -c a.json -p 9000", want: "ss-server 9000"},
		{comm: "ss-server", line: "ss-server -s 127.0.0.1 -p 8388", want: "ss-server"},
		{comm: "ss-server", line: "ss-server -p QZQZQ -k 8388", want: "ss-server"},
		{comm: "ss-server", line: "ss-server -p 65536", want: "ss-server"},
		{comm: "ss-server", line: "ss-server -c", want: "ss-server"},
		{comm: "ss-server", line: "ss-server", want: "ss-server"},
		{comm: "ss-manager", line: "ss-manager --manager-address 127.0.0.1:6001 -c /etc/m.json -D /srv/work", want: "ss-manager file:/etc/m.json dir:/srv/work"},
		{comm: "ss-local", line: "ss-local -c /etc/a.json", want: ""},
		{comm: "ss-redir", line: "ss-redir -c /etc/a.json", want: ""},
		{comm: "ss-tunnel", line: "ss-tunnel -c /etc/a.json", want: ""},
		// shadowsocks-rust
		{comm: "ss-rust", line: "/usr/local/bin/ss-rust -c /etc/ss-rust/config.json", want: "ssserver file:/etc/ss-rust/config.json"},
		{comm: "shadowsocks-rus", line: "/usr/local/bin/shadowsocks-rust -c /etc/shadowsocks-rust/config.json", want: "ssserver file:/etc/shadowsocks-rust/config.json"},
		{comm: "xrayL", line: "/usr/local/bin/xrayL -c /etc/xrayL/config.toml", want: "xray file:/etc/xrayL/config.toml"},
		{comm: "ssserver", line: "ssserver -c /etc/rust.json", want: "ssserver file:/etc/rust.json"},
		{comm: "ssserver", line: "ssserver --config=/etc/rust.json --log-without-time", want: "ssserver file:/etc/rust.json"},
		{comm: "ssserver", line: "ssserver -s [::]:8388 -m aes-256-gcm -k QZQZQ:7777", want: "ssserver 8388/tcp"},
		{comm: "ssserver", line: "ssserver -U --server-addr 0.0.0.0:8388", want: "ssserver 8388"},
		{comm: "ssserver", line: "ssserver -us 0.0.0.0:8388", want: "ssserver 8388/udp"},
		{comm: "ssserver", line: "ssserver -c /etc/a.json -s 0.0.0.0:8389", want: "ssserver file:/etc/a.json 8389"},
		{comm: "ssservice", line: "ssservice server -c /etc/rust.json", want: "ssservice file:/etc/rust.json"},
		{comm: "ssservice", line: "ssservice local -c /etc/rust.json", want: ""},
		{comm: "ssservice", line: "ssservice manager -c /etc/m.json --manager-addr 0.0.0.0:6100", want: "ssservice file:/etc/m.json admin:6100"},
		{comm: "ssmanager", line: "ssmanager --manager-address 127.0.0.1:6100 -c m.json", directory: "/srv", want: "ssmanager file:m.json admin:6100"},
		{comm: "sslocal", line: "sslocal -c /etc/rust.json", want: ""},
		// Python
		{comm: "ssserver", line: "/usr/bin/python3 /usr/local/bin/ssserver -c /etc/shadowsocks.json -d start", want: "ssserver file:/etc/shadowsocks.json"},
		{comm: "python2.7", line: "python -u /usr/bin/ssserver -p 8388 -k QZQZQ", want: "ssserver 8388"},
		{comm: "python3", line: "python3 -m shadowsocks.server -c a.json", want: "ssserver file:a.json"},
		{comm: "python", line: "python /usr/local/shadowsocks/server.py -c /etc/shadowsocks-r/config.json -d start", want: "server.py file:/etc/shadowsocks-r/config.json"},
		{comm: "python", line: "python server.py m", directory: "/usr/local/shadowsocksr", want: "server.py file:user-config.json"},
		{comm: "python3", line: "python3 server.py -c /etc/a.json", directory: "/srv/web", want: ""},
		{comm: "python3", line: "python3 /srv/app.py ssserver -c /etc/a.json", want: ""},
		{comm: "python3", line: "python3 /usr/local/bin/sslocal -c /etc/a.json", want: ""},
		{comm: "python3", line: "python3", want: ""},
		// Outline, Go
		{comm: "outline-ss-serv", line: "/opt/outline-ss-server -config config.yml -metrics 0.0.0.0:9091 -replay_history=10000", want: "outline-ss-server file:config.yml admin:9091"},
		{comm: "go-shadowsocks2", line: "go-shadowsocks2 -s ss://AEAD_CHACHA20_POLY1305:QZ:QZ@Q@:8488 -verbose", want: "go-shadowsocks2 8488/tcp"},
		{comm: "go-shadowsocks2", line: "go-shadowsocks2 -s :8488 -cipher AEAD -password QZQZQ -udp", want: "go-shadowsocks2 8488"},
		{comm: "go-shadowsocks2", line: "go-shadowsocks2 -c ss://AEAD:QZQZQ@192.0.2.1:8488 -socks :1080", want: ""},
		{comm: "shadowsocks2-li", line: "shadowsocks2-linux -s ss://AEAD:QZQZQ@:8488", want: "go-shadowsocks2 8488/tcp"},
		{comm: "shadowsocks-ser", line: "shadowsocks-server -u -c /etc/shadowsocks/config.json", want: "shadowsocks-server file:/etc/shadowsocks/config.json"},
		{comm: "shadowsocks-go", line: "shadowsocks-go -confPath /etc/shadowsocks-go/a.json", want: "shadowsocks-go file:/etc/shadowsocks-go/a.json"},
		// several protocols
		{comm: "sing-box", line: "/etc/sing-box/sing-box run -c /etc/sing-box/config.json -C /etc/sing-box/conf", want: "sing-box file:/etc/sing-box/config.json dir:/etc/sing-box/conf"},
		{comm: "sing-box", line: "sing-box -D /var/lib/sing-box -C /etc/sing-box run", want: "sing-box dir:/etc/sing-box"},
		{comm: "sing-box", line: "sing-box run -D /srv", want: "sing-box file:config.json"},
		{comm: "sing-box", line: "sing-box run -c stdin", want: "sing-box"},
		{comm: "sing-box", line: "sing-box check -c /etc/a.json", want: ""},
		{comm: "xray", line: "/usr/local/bin/xray run -config /usr/local/etc/xray/config.json", want: "xray file:/usr/local/etc/xray/config.json"},
		{comm: "xray-linux-amd6", line: "bin/xray-linux-amd64 -c bin/config.json", want: "xray file:bin/config.json"},
		{comm: "xray", line: "xray -confdir /etc/xray/conf -c=/a.json --config=/b.json", want: "xray file:/a.json file:/b.json dir:/etc/xray/conf"},
		{comm: "xray", line: "xray run -config stdin: -c https://192.0.2.1/a.json -c a.json", want: "xray file:a.json"},
		{comm: "v2ray", line: "v2ray run -d /etc/v2ray/conf -format jsonv5", want: "v2ray dir:/etc/v2ray/conf"},
		{comm: ".v2ray-wrapped", line: "v2ray -config=/etc/v2ray.json", want: "v2ray file:/etc/v2ray.json"},
		{comm: "mihomo", line: "/usr/local/bin/mihomo -d /srv/mihomo", want: "mihomo file:/srv/mihomo/config.yaml"},
		{comm: "mihomo", line: "mihomo -d /srv/mihomo -f /srv/a.yaml", want: "mihomo file:/srv/a.yaml"},
		{comm: "gost", line: "gost -L=ss://aes-256-gcm:QZ=QZQ@:8338 -L ssu://aes-256-gcm:QZQZQ@:8339 -L socks5://:1080", want: "gost 8338/tcp 8339/udp"},
		{comm: "gost", line: "gost -L ss+kcp://aes:QZQZQ@0.0.0.0:8340?a=b -L ss+ws://a:QZQZQ@[::]:8341/x@y:1 -L ss://127.0.0.1:8342 -L ss://aes:8343", want: "gost 8340/udp 8341/tcp"},
		{comm: "gost", line: "gost -L :8344 -L=QZQZQ:QZQZQ@:8345 -L 8346 -F ss://aes:QZQZQ@192.0.2.1:8347", want: "gost"},
		{comm: "gost", line: "gost -L ss2://aes:QZQZQ@:8348 -L ss+wt://aes:QZQZQ@:8349 -L ss+tls://aes:QZQZQ@:8350", want: "gost 8348/tcp 8349/udp 8350/tcp"},
		{comm: "gost", line: "gost -C /etc/gost/a.yml", want: "gost file:/etc/gost/a.yml"},
		// others
		{comm: "systemd-run", line: "systemd-run ss-server -c /etc/a.json", want: ""},
		{comm: "docker-proxy", line: "docker-proxy -proto tcp -host-port 8388", want: ""},
		{comm: "vim", line: "vim ss-server", want: ""},
		{comm: "ss-server", line: "", want: ""},
	} {
		t.Run(test.line, func(t *testing.T) {
			var got string
			arguments := splitArguments(strings.ReplaceAll(test.line, " ", "\x00") + "\x00")
			program, arguments := identify(test.comm, arguments, func() string { return test.directory })
			if program != nil && !candidate(test.comm) {
				t.Error("its command line is not read")
			}
			if program != nil {
				if n := program.parse(arguments); program.role != connects || len(n.ports) > 0 {
					got = program.name + n.text()
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if strings.Contains(got, "QZQ") {
				t.Error("a password is kept")
			}
		})
	}
}

func (c commandLine) text() string {
	var b strings.Builder
	for _, file := range c.files {
		b.WriteString(" file:" + file)
	}
	for _, directory := range c.directories {
		b.WriteString(" dir:" + directory)
	}
	for _, port := range c.ports {
		b.WriteString(" " + portlist.FormatSpec(port))
	}
	for _, port := range c.admin {
		fmt.Fprintf(&b, " admin:%d", port)
	}
	return b.String()
}

func TestALongCommandLineIsCutBetweenArguments(t *testing.T) {
	line := "ss-server\x00-c\x00/etc/a.json\x00" + strings.Repeat("x", maxCommandLine)
	if got := splitArguments(line[:maxCommandLine]); len(got) != 3 {
		t.Errorf("%d arguments, want 3", len(got))
	}
	if got := splitArguments(strings.Repeat("x", maxCommandLine)); got != nil {
		t.Errorf("%d arguments, want none", len(got))
	}
}

// FuzzCommandLine takes whatever a process may show of itself: any user may start one.
func FuzzCommandLine(f *testing.F) {
	for _, program := range programs {
		f.Add(program.name, program.name+"\x00-c\x00a\x00-s\x00[::]:1\x00-L=ss://a:b@:2\x00run\x00")
	}
	f.Add("python3", "python3\x00server.py\x00-p\x001")
	f.Add("ss-server", "ss-server\x00-\x00--\x00-=\x00-c")
	f.Fuzz(func(t *testing.T, comm, line string) {
		program, arguments := identify(comm, splitArguments(line), func() string { return "/" })
		if program == nil {
			return
		}
		n := program.parse(arguments)
		if len(n.files) > maxNamed || len(n.directories) > maxNamed || len(n.ports) > maxNamed {
			t.Errorf("%d files, %d directories and %d ports", len(n.files), len(n.directories), len(n.ports))
		}
		for _, port := range n.ports {
			if port.Number == 0 || port.Protocols == 0 || port.Name != "" {
				t.Errorf("%+v", port)
			}
		}
	})
}

// FuzzProc takes what the kernel writes of a process, with a name that the process has
// chosen.
func FuzzProc(f *testing.F) {
	f.Add("1 (a) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 15 1", "Uid:\t0\t1\t2\t3\nGid:\t4\t5\t6\t7\nGroups:\t8 9\n", "22 1 0:21 / / rw - ext4 a rw\n")
	f.Add("1 (a) S 1) R 0", "Uid:\n", "/ / / / /")
	f.Fuzz(func(_ *testing.T, stat, status, mounts string) {
		_, _ = parseStat(stat)
		_, _ = parseOwner(status)
		_ = parseMounts(mounts).compare(parseMounts(stat))
	})
}

func TestParseStat(t *testing.T) {
	const fields = " 7 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 15 1 2 3"
	for text, want := range map[string]process{
		"12 (ss-server) S" + fields:    {12, 7, 15, "ss-server"},
		"12 (a) Z 1 (b\n)) R" + fields: {12, 7, 15, "a) Z 1 (b\n)"},
		"12 (ss-server) Z" + fields:    {},
		"12 (ss-server) X" + fields:    {},
		"12 (ss-server":                {},
		"12 ) (":                       {},
		"":                             {},
	} {
		if got, alive := parseStat(text); got != want && alive || alive != (want != process{}) {
			t.Errorf("%q: %+v, %v, want %+v", text, got, alive, want)
		}
	}
}
