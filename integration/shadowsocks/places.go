package shadowsocks

// usualPlace is where the configurations of servers may be.
type usualPlace struct {
	// path is that of a file, or of a directory if it ends with a slash. The name of a
	// file may have wildcards.
	path string
	// suffixes are those of the files in a directory.
	suffixes []string
	// source is who puts them there: a package, or a script that people use, with the
	// file and the line. Where several scripts do, any code search finds them.
	source string
}

// What is read in a directory.
var (
	inJSON = []string{".json", ".json5", ".jsonc"}
	inYAML = []string{".json", ".json5", ".jsonc", ".yaml", ".yml"}
	inAny  = []string{".json", ".json5", ".jsonc", ".yaml", ".yml", ".toml"} // as XTLS/Xray-core main/run.go:145
)

// usualPlaces is where packages and the scripts in circulation put the
// configurations of servers. The directory /tmp/.shadowsocks, the last resort of
// ss-manager, is not among them: anybody can write there. What a panel makes of its
// database, such as the bin/config.json of 3x-ui, is not either, nor are the parts of
// which a script merges one file that is.
var usualPlaces = [...]usualPlace{
	// shadowsocks-libev, shadowsocks-rust, the Python server and others like them
	{"etc/shadowsocks.json", nil, "teddysun/shadowsocks_install shadowsocks:25"},
	{"etc/ss-config.json", nil, "lou921944921/ubuntu ss.sh"},
	{"etc/sssconfig.json", nil, "github.com/shadowsocks/shadowsocks-rust/issues/103"},
	{"etc/shadowsocks/", inJSON, "teddysun/shadowsocks_install shadowsocks-all.sh:34, loyess/Shell, yeahwu/v2ray-wss"},
	{"etc/shadowsocks-libev/", inJSON, "Debian shadowsocks-libev, hide3110/ss-rust install.sh:128"},
	{"etc/shadowsocks-rust/", inJSON, "shadowsocks/shadowsocks-rust debian/shadowsocks-rust.default:15, hide3110/ss-rust install.sh:110"},
	{"etc/shadowsocks-python/", inJSON, "teddysun/shadowsocks_install shadowsocks:23"},
	{"etc/shadowsocks-go/", inJSON, "database64128/shadowsocks-go README.md:66, teddysun/shadowsocks_install shadowsocks-go:25"},
	{"etc/shadowsocks-manager/", inJSON, "teddysun/shadowsocks_install shadowsocks-manager:30"},
	{"etc/ss/", inJSON, "several scripts"},
	{"etc/ss2022/", inJSON, "several scripts"},
	{"etc/ss-go/", inJSON, "github.com/shadowsocks/shadowsocks-go/issues/141"},
	{"etc/ss-rust/", inJSON, "xOS/Shadowsocks-Rust ss-rust.sh:18, yahuisme/ss-2022 install.sh:26, johnrosen1/vpstoolbox install/ss-rust.sh:17"},
	{"etc/ssrust/", inJSON, "several scripts"},
	{"etc/ss-rust.json", nil, "several scripts, for /usr/local/bin/ss-rust -c"},
	{"etc/ss-rust/ports/", inJSON, "jinqians/ss-2022.sh ss-2022.sh:24"},
	{"opt/ss-rust/", inJSON, "several scripts"},
	{"etc/rustss2022/", inJSON, "loyess/2022 2022script.sh:18"},
	{"opt/shadowsocks/", inJSON, "karmishin/shadowsocks.sh shadowsocks.sh"},
	{"usr/local/etc/shadowsocks.json", nil, "shadowsocks/shadowsocks-rust configs/org.shadowsocks.shadowsocks-rust.plist:15"},
	{"usr/local/etc/shadowsocks/", inJSON, "several scripts"},
	{"usr/local/etc/shadowsocks-libev/", inJSON, "FreeBSD net/shadowsocks-libev"},
	{"usr/local/etc/shadowsocks-rust/", inJSON, "FreeBSD net/shadowsocks-rust"},
	{"usr/local/etc/ss-rust/", inJSON, "several scripts"},
	{"usr/local/etc/ssserver/", inJSON, "MoonLord-LM/MyShell bash/install/shadowsocks.sh"},
	{"var/snap/shadowsocks-libev/common/etc/shadowsocks-libev/", inJSON, "snap shadowsocks-libev"},
	{"var/snap/shadowsocks-rust/common/etc/shadowsocks-rust/", inJSON, "shadowsocks/shadowsocks-rust snap/snapcraft.yaml:59"},
	{"var/snap/shadowsocks-rust/common/", inJSON, "snap shadowsocks-rust"},
	{"root/.shadowsocks/.shadowsocks_*.conf", nil, "shadowsocks/shadowsocks-libev src/manager.c"},
	{"var/lib/shadowsocks-libev/.shadowsocks_*.conf", nil, "shadowsocks/shadowsocks-libev src/manager.c"},
	{"etc/config/shadowsocks-libev", nil, "openwrt/packages net/shadowsocks-libev/files/shadowsocks-libev.config"},
	{"var/etc/shadowsocks-libev/", inJSON, "openwrt/packages net/shadowsocks-libev/files/shadowsocks-libev.init:10"},
	{"usr/local/shadowsocks-go/shadowsocks-go.conf", nil, "ToyoDAdoubi/doubi ss-go.sh:18"},
	// ShadowsocksR
	{"etc/shadowsocks-r/", inJSON, "teddysun/shadowsocks_install shadowsocksR:19"},
	{"etc/shadowsocksr/", inJSON, "ToyoDAdoubi/doubi ssr.sh:19, ssr_old.sh:16"},
	{"etc/ssr-native/", inJSON, "ShadowsocksR-Live/shadowsocksr-native install/ssrn-install.sh:17"},
	{"usr/local/shadowsocksr/user-config.json", nil, "ToyoDAdoubi/doubi ssrmu.sh:16"},
	{"root/shadowsocksr/user-config.json", nil, "ToyoDAdoubi/doubi ssrstatus.sh:16"},
	// Outline
	{"opt/outline/persisted-state/shadowbox_config.json", nil, "Jigsaw-Code/outline-server src/server_manager/install_scripts/install_server.sh:237"},
	{"var/lib/outline/persisted-state/shadowbox_config.json", nil, "github.com/OutlineFoundation/outline-server/issues/493"},
	{"root/shadowbox/persisted-state/shadowbox_config.json", nil, "github.com/OutlineFoundation/outline-server/issues/493"},
	{"etc/outline-ss-server/config.yml", nil, "Jigsaw-Code/outline-ss-server"},
	// sing-box
	{"etc/sing-box/", inJSON, "SagerNet/sing-box .fpm_systemd:13"},
	{"etc/sing-box/conf/", inJSON, "233boy/sing-box install.sh:69, fscarmen/sing-box sing-box.sh:2179"},
	{"etc/sing-box/conf.d/", inJSON, "several scripts, for sing-box run -C"},
	{"etc/sing-box/config/", inJSON, "several scripts, for sing-box run -C"},
	{"etc/singbox/", inJSON, "several scripts"},
	{"usr/local/etc/sing-box/", inJSON, "FranzKafkaYu/sing-box-yes README.md:87, chika0801/sing-box-examples README.md:62"},
	{"usr/local/etc/sing-box/conf/", inJSON, "several scripts, for sing-box run -C"},
	{"usr/local/etc/singbox/", inJSON, "several scripts"},
	{"opt/sing-box/", inJSON, "several scripts"},
	{"root/sing-box/config.json", nil, "ahhfzwl/Shell install.sh"},
	{"root/sing-box_config.json", nil, "chika0801/sing-box-examples README.md"},
	{"root/sbox/sbconfig_server.json", nil, "yyf-lbl/sing-box-reality-hysteria2 install.sh, and the other forks of that"},
	{"etc/s-box/sb.json", nil, "yonggekkk/sing-box-yg sb.sh:899"},
	{"root/agsbx/", inJSON, "yonggekkk/argosbx argosbx.sh:193, 433, for Xray as well"},
	{"etc/v2ray-agent/sing-box/conf/config.json", nil, "mack-a/v2ray-agent install.sh:2629"},
	{"opt/hiddify-manager/singbox/configs/", inJSON, "hiddify/Hiddify-Manager singbox/hiddify-singbox.service:9"},
	// Xray
	{"etc/xray/", inAny, "233boy/Xray install.sh:75, teddysun/across deb/xray/common/xray.service:10, OpenWrt xray-core"},
	{"etc/xray/conf/", inAny, "233boy/Xray install.sh:69"},
	{"etc/xray/confs/", inAny, "xtls.github.io/config/features/multiple.html"},
	{"etc/xray/conf.d/", inAny, "several scripts, for xray run -confdir"},
	{"etc/xray/config/", inAny, "several scripts, for xray run -confdir"},
	{"etc/xray/configs.d/", inAny, "several scripts, for xray run -confdir"},
	{"usr/local/etc/xray/", inAny, "XTLS/Xray-install install-release.sh:21, alpinelinux/install-release.sh:211"},
	{"usr/local/etc/xray/conf/", inAny, "several scripts, for xray run -confdir"},
	{"usr/local/etc/xray/confs/", inAny, "several scripts, for xray run -confdir"},
	{"usr/local/etc/xray/conf.d/", inAny, "several scripts, for xray run -confdir"},
	{"opt/xray/", inAny, "several scripts"},
	{"opt/xray-agent/xray/conf/", inAny, "Suysker/xray-agent install.sh"},
	{"etc/xrayL/", inAny, "bulianglin/demo xrayL.sh, and its many forks"},
	{"etc/v2ray-agent/xray/conf/", inAny, "mack-a/v2ray-agent install.sh:2667"},
	{"etc/argox/inbound.json", nil, "fscarmen/ArgoX argox.sh:868"},
	{"etc/vless-reality/config.json", nil, "Chil30/vless-all-in-one vless-server.sh"},
	{"etc/vless-reality/singbox.json", nil, "Chil30/vless-all-in-one vless-server.sh"},
	{"opt/hiddify-manager/xray/configs/", inAny, "hiddify/Hiddify-Manager xray/hiddify-xray.service:13"},
	{"var/lib/marzban/xray_config.json", nil, "Gozargah/Marzban-scripts marzban.sh:790"},
	{"var/lib/marznode/xray_config.json", nil, "marzneshin/marznode README.md"},
	{"var/lib/pasarguard/xray_config.json", nil, "nationpwned/vps"},
	// V2Ray
	{"etc/v2ray/", inAny, "233boy/v2ray install.sh:75, Jrohy/multi-v2ray go.sh:325, v2fly/v2ray-core release/debian/v2ray.service:11"},
	{"etc/v2ray/conf/", inAny, "233boy/v2ray install.sh:69"},
	{"etc/v2ray/confs/", inAny, "v2fly.org/config/multiple_config.html"},
	{"etc/v2ray/conf.d/", inAny, "several scripts, for v2ray -confdir"},
	{"usr/local/etc/v2ray/", inAny, "v2fly/fhs-install-v2ray install-release.sh:22"},
	{"usr/local/etc/v2ray/conf/", inAny, "several scripts, for v2ray -confdir"},
	{"etc/v2ray-agent/v2ray/conf/", inAny, "reeceyng/v2ray-agent install.sh:270"},
	// 3x-ui and its relatives; in Docker, the directory db is beside docker-compose.yml
	{"etc/x-ui/x-ui.db", nil, "MHSanaei/3x-ui internal/config/config.go:170"},
	{"etc/default/x-ui", nil, "MHSanaei/3x-ui internal/config/config.go:224, where it says that its database is elsewhere"},
	{"etc/conf.d/x-ui", nil, "MHSanaei/3x-ui internal/config/config.go:225"},
	{"etc/sysconfig/x-ui", nil, "MHSanaei/3x-ui internal/config/config.go:226"},
	{"etc/systemd/system/x-ui.service", nil, "MHSanaei/3x-ui x-ui.service.debian:10, with its drop-ins"},
	{"etc/x-ui-yg/x-ui-yg.db", nil, "yonggekkk/x-ui-yg install.sh:362"},
	{"etc/x-ui-english/x-ui-english.db", nil, "github.com/NidukaAkalanka/x-ui-english/issues/118"},
	{"etc/xray-ui/xray-ui.db", nil, "qist/xray-ui config/config.go:52"},
	{"root/3x-ui/db/x-ui.db", nil, "MHSanaei/3x-ui docker-compose.yml:19"},
	{"root/x-ui/db/x-ui.db", nil, "vaxilu/x-ui README.md:58"},
	{"root/db/x-ui.db", nil, "vaxilu/x-ui README.md:58"},
	{"opt/3x-ui/db/x-ui.db", nil, "MHSanaei/3x-ui docker-compose.yml:19"},
	{"usr/local/s-ui/db/s-ui.db", nil, "alireza0/s-ui config/config.go:60"},
	{"root/s-ui/db/s-ui.db", nil, "alireza0/s-ui docker-compose.yml"},
	// others
	{"etc/gost/", inYAML, "go-gost/gost config, KANIKIG/Multi-EasyGost gost.service:12"},
	{"root/.gost/", inYAML, "go-gost/x config/config.go:25"},
	{"etc/mihomo/config.yaml", nil, "MetaCubeX/mihomo mihomo.service"},
	{"root/.config/mihomo/config.yaml", nil, "mihomo without -d"},
	{"usr/local/etc/mihomo/config.yaml", nil, "mihomo -d /usr/local/etc/mihomo"},
	{"opt/mihomo/config.yaml", nil, "mihomo -d /opt/mihomo"},
	{"etc/clash/config.yaml", nil, "clash -d /etc/clash"},
}
