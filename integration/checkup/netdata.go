package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"slices"
)

// Where Netdata's parts are: Debian's packages, upstream's, and upstream's
// static build.
var netdataDirectories = [...]string{"/usr/lib/netdata", "/usr/libexec/netdata", "/opt/netdata/usr/libexec/netdata"}

const (
	netdataUser   = "netdata"
	customPlugins = "/etc/netdata/custom-plugins.d"
	pluginName    = "ssmonitor.plugin"
)

// Netdata looks at whether Netdata, where there is one, has the plugin and may
// read from the agent's socket, which belongs to group.
func (m *Machine) Netdata(socket, group string) []Finding {
	installed := slices.IndexFunc(netdataDirectories[:], func(directory string) bool { return m.exists(directory + "/plugins.d") })
	if installed < 0 {
		return []Finding{{OK, "Netdata is not installed: there is nothing to see to", ""}}
	}
	plugin := m.netdataPlugin(netdataDirectories[installed])
	if plugin.Level != OK {
		return []Finding{plugin}
	}
	return append([]Finding{plugin}, m.netdataAccess(socket, group)...)
}

// netdataPlugin looks for the plugin's file.
func (m *Machine) netdataPlugin(directory string) Finding {
	for _, candidate := range []string{directory + "/plugins.d/" + pluginName, customPlugins + "/" + pluginName} {
		info, err := os.Lstat(m.path(candidate))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			info, err = os.Stat(m.path(candidate))
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return Finding{Wrong, fmt.Sprintf("Netdata's plugin %s leads nowhere", candidate),
				fmt.Sprintf("lead it to the program: ln -sf \"$(command -v ssmonitor)\" %s", candidate)}
		case err != nil:
			return Failure(err, "see to it that the file can be read")
		case info.Mode()&0o111 == 0:
			return Finding{Wrong, fmt.Sprintf("Netdata's plugin %s is not executable", candidate), "chmod 0755 " + candidate}
		}
		return Finding{OK, "Netdata has the plugin " + candidate, ""}
	}
	return Finding{Note, "Netdata is installed, but has no plugin " + pluginName,
		fmt.Sprintf("for charts: ln -s \"$(command -v ssmonitor)\" %s/plugins.d/%s", directory, pluginName)}
}

// netdataAccess looks at whether Netdata's user may connect to the socket.
func (m *Machine) netdataAccess(socket, group string) []Finding {
	account, err := m.Account(netdataUser)
	if errors.As(err, new(user.UnknownUserError)) {
		return []Finding{{Note, "there is no user " + netdataUser + ": whether Netdata may read from the socket depends on the user that it runs as",
			"add that user to the group: usermod --append --groups " + group + " USER"}}
	}
	if err != nil {
		return []Finding{Failure(err, "mend what looks up users: see nsswitch.conf(5)")}
	}
	number, err := m.Group(group)
	if err != nil || !slices.Contains(account.Groups, number) {
		return []Finding{{Wrong, fmt.Sprintf("Netdata may not read from the socket: user %s is not in group %s", netdataUser, group),
			fmt.Sprintf("usermod --append --groups %s %s && systemctl restart netdata", group, netdataUser)}}
	}
	return []Finding{m.reaches(account, socket)}
}

// reaches looks at the directories above a file, the first one first.
func (m *Machine) reaches(account Account, file string) Finding {
	var above []string
	for directory := path.Dir(path.Clean(file)); directory != "/" && directory != "."; directory = path.Dir(directory) {
		above = append(above, directory)
	}
	for _, directory := range slices.Backward(above) {
		info, err := os.Stat(m.path(directory))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return Finding{Note, fmt.Sprintf("whether Netdata can reach the socket shows when there is a directory %s", directory),
				"start the agent: systemctl start ssmonitor"}
		case err != nil:
			return Failure(err, "see to it that the directory can be read")
		case !account.enters(info):
			return Finding{Wrong, fmt.Sprintf("Netdata can't reach the socket %s: user %s may not enter %s (mode %#o)",
				file, netdataUser, directory, info.Mode().Perm()), "chmod o+x " + directory}
		}
	}
	return Finding{OK, fmt.Sprintf("Netdata may read from the socket: user %s is in the group", netdataUser), ""}
}
