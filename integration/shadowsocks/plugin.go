package shadowsocks

import (
	"path/filepath"
	"slices"
	"strings"
)

// serverSide is the option that has a plugin for both sides run on that of a server, such
// as v2ray-plugin.
const serverSide = "server"

// reducePluginOptions returns that option if it is among those of a plugin, and nothing
// else of them: there are secrets in some.
func reducePluginOptions(options string) string {
	if slices.ContainsFunc(strings.FieldsFunc(options, func(r rune) bool { return r == ';' || r == ' ' }), isServerSide) {
		return serverSide
	}
	return ""
}

func isServerSide(option string) bool {
	name, value, _ := strings.Cut(strings.TrimLeft(option, "-"), "=")
	return name == serverSide && slices.Contains([]string{"", "1", "true"}, value)
}

// hasPluginOfServer reports whether the plugin is one for servers, as obfs-server, or runs
// as one by its options: https://shadowsocks.org/doc/sip003.html. Such a server listens on
// the loopback interface at times, as clients do, with a web server before it.
func hasPluginOfServer(server node) bool {
	plugin := server.at("plugin").word()
	if plugin == "" {
		return false
	}
	words := strings.Fields(plugin)
	if len(words) > 0 && strings.Contains(filepath.Base(words[0]), serverSide) || slices.ContainsFunc(words, isServerSide) {
		return true
	}
	options := append(server.at("plugin_opts").each(), server.at("plugin_args").each()...)
	return slices.ContainsFunc(options, func(option node) bool { return option.word() == serverSide })
}
