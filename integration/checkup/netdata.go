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

// netdataDirectories is where Netdata's plugins are: of Debian's packages, of
// upstream's packages, and of upstream's static build.
var netdataDirectories = [...]string{"/usr/lib/netdata", "/usr/libexec/netdata", "/opt/netdata/usr/libexec/netdata"}

const (
	netdataUser   = "netdata"
	customPlugins = "/etc/netdata/custom-plugins.d"
	pluginName    = "ssmonitor.plugin"
)

// Netdata checks whether every Netdata on the machine has the plugin and may
// read from the agent's socket, which belongs to the group.
func (m *Machine) Netdata(socket, group string) (findings []Finding) {
	connected := false
	for _, directory := range netdataDirectories {
		installed, err := m.hasNetdata(directory)
		switch {
		case err != nil:
			findings = append(findings, failure(NetdataPlugin, directory, err, "make the directory readable"))
		case installed:
			plugin := m.netdataPlugin(directory)
			connected = connected || plugin.Level == OK
			findings = append(findings, plugin)
		}
	}
	if len(findings) == 0 {
		return []Finding{{NetdataPlugin, Note, "", "no Netdata is installed: there are no charts", ""}}
	}
	if connected {
		findings = append(findings, m.netdataAccess(socket, group)...)
	}
	return findings
}

// hasNetdata reports whether there is a Netdata with this directory. Netdata's
// own plugins have to be there: the package of ssmonitor creates the directory
// as well.
func (m *Machine) hasNetdata(directory string) (bool, error) {
	entries, err := os.ReadDir(m.path(directory + "/plugins.d"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return slices.ContainsFunc(entries, func(entry fs.DirEntry) bool { return entry.Name() != pluginName }), err
}

// netdataPlugin checks the plugin's file.
func (m *Machine) netdataPlugin(directory string) Finding {
	for _, candidate := range [...]string{directory + "/plugins.d/" + pluginName, customPlugins + "/" + pluginName} {
		info, err := os.Lstat(m.path(candidate))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			info, err = os.Stat(m.path(candidate))
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return Finding{NetdataPlugin, Wrong, candidate, fmt.Sprintf("Netdata's plugin %s is a dangling link", candidate),
				fmt.Sprintf("link it to the program: ln -sf \"$(command -v ssmonitor)\" %s", candidate)}
		case err != nil:
			return failure(NetdataPlugin, candidate, err, "make the file readable")
		case info.Mode()&0o111 == 0:
			return Finding{NetdataPlugin, Wrong, candidate, fmt.Sprintf("Netdata's plugin %s is not executable", candidate), "chmod 0755 " + candidate}
		}
		return Finding{NetdataPlugin, OK, candidate, "Netdata has the plugin " + candidate, ""}
	}
	return Finding{NetdataPlugin, Note, directory, fmt.Sprintf("the Netdata in %s has no plugin %s", directory, pluginName),
		fmt.Sprintf("for charts: ln -s \"$(command -v ssmonitor)\" %s/plugins.d/%s", directory, pluginName)}
}

// netdataAccess checks whether Netdata's user may connect to the socket.
func (m *Machine) netdataAccess(socket, group string) []Finding {
	account, err := m.User(netdataUser)
	if errors.As(err, new(user.UnknownUserError)) {
		return []Finding{{NetdataAccess, Note, socket, "there is no user " + netdataUser + ": whether Netdata may read from the socket depends on the user that it runs as",
			"add that user to the group: usermod --append --groups " + group + " USER"}}
	}
	if err != nil {
		return []Finding{failure(NetdataAccess, socket, err, "repair the look-up of users: see nsswitch.conf(5)")}
	}
	gid, err := m.Group(group)
	if err != nil || !slices.Contains(account.Groups, gid) {
		return []Finding{{NetdataAccess, Wrong, socket, fmt.Sprintf("Netdata may not read from the socket: user %s is not in group %s", netdataUser, group),
			fmt.Sprintf("usermod --append --groups %s %s && systemctl restart netdata", group, netdataUser)}}
	}
	return []Finding{m.reaches(account, socket)}
}

// reaches checks the directories above the socket, from the root down.
func (m *Machine) reaches(account User, socket string) Finding {
	var above []string
	for directory := path.Dir(path.Clean(socket)); directory != "/" && directory != "."; directory = path.Dir(directory) {
		above = append(above, directory)
	}
	for _, directory := range slices.Backward(above) {
		info, err := os.Stat(m.path(directory))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return Finding{NetdataAccess, Note, socket, fmt.Sprintf("whether Netdata can reach the socket can't be checked before there is a directory %s", directory),
				"start the agent: systemctl start ssmonitor"}
		case err != nil:
			return failure(NetdataAccess, socket, err, "make the directory readable")
		case !account.enters(info):
			return Finding{NetdataAccess, Wrong, socket, fmt.Sprintf("Netdata can't reach the socket %s: user %s may not enter %s (mode %#o)",
				socket, netdataUser, directory, info.Mode().Perm()), "chmod o+x " + directory}
		}
	}
	return Finding{NetdataAccess, OK, socket, fmt.Sprintf("Netdata may read from the socket: user %s is in its group", netdataUser), ""}
}
