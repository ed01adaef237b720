package checkup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"slices"

	"ssmonitor/internal/finding"
	"ssmonitor/output/netdata"
)

// netdataDirectories is where Netdata's plugins are: of Debian's packages, of
// upstream's packages, and of upstream's static build.
var netdataDirectories = [...]string{"/usr/lib/netdata", "/usr/libexec/netdata", "/opt/netdata/usr/libexec/netdata"}

const (
	netdataUser   = "netdata"
	customPlugins = "/etc/netdata/custom-plugins.d"
)

// checkNetdata checks whether every Netdata on the machine has the plugin and may
// read from the agent's socket, which belongs to the group.
func (m *Machine) checkNetdata(socket, group string) (findings []finding.Finding) {
	connected := false
	for _, directory := range netdataDirectories {
		installed, err := m.hasNetdata(directory)
		switch {
		case err != nil:
			findings = append(findings, m.failure(finding.NetdataPlugin, directory, err, "make the directory readable"))
		case installed:
			plugin := m.netdataPlugin(directory)
			connected = connected || plugin.Level == finding.OK
			findings = append(findings, plugin)
		}
	}
	if len(findings) == 0 {
		return []finding.Finding{{ID: finding.NetdataPlugin, Level: finding.Note, Message: "no Netdata is installed: there are no charts"}}
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
	return slices.ContainsFunc(entries, func(entry fs.DirEntry) bool { return entry.Name() != netdata.PluginName }), err
}

// netdataPlugin checks the plugin's file.
func (m *Machine) netdataPlugin(directory string) finding.Finding {
	for _, candidate := range [...]string{directory + "/plugins.d/" + netdata.PluginName, customPlugins + "/" + netdata.PluginName} {
		info, err := os.Lstat(m.path(candidate))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			info, err = os.Stat(m.path(candidate))
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return finding.Finding{ID: finding.NetdataPlugin, Level: finding.Wrong, Subject: candidate, Message: fmt.Sprintf("Netdata's plugin %s is a dangling link", candidate),
				Remedy: fmt.Sprintf("link it to the program: ln -sf \"$(command -v ssmonitor)\" %s", candidate)}
		case err != nil:
			return m.failure(finding.NetdataPlugin, candidate, err, "make the file readable")
		case info.Mode()&0o111 == 0:
			return finding.Finding{ID: finding.NetdataPlugin, Level: finding.Wrong, Subject: candidate, Message: fmt.Sprintf("Netdata's plugin %s is not executable", candidate), Remedy: "chmod 0755 " + candidate}
		}
		return finding.Finding{ID: finding.NetdataPlugin, Level: finding.OK, Subject: candidate, Message: "Netdata has the plugin " + candidate}
	}
	return finding.Finding{ID: finding.NetdataPlugin, Level: finding.Note, Subject: directory, Message: fmt.Sprintf("the Netdata in %s has no plugin %s", directory, netdata.PluginName),
		Remedy: fmt.Sprintf("for charts: ln -s \"$(command -v ssmonitor)\" %s/plugins.d/%s", directory, netdata.PluginName)}
}

// netdataAccess checks whether Netdata's user may connect to the socket.
func (m *Machine) netdataAccess(socket, group string) []finding.Finding {
	account, err := m.LookupUser(netdataUser)
	if errors.As(err, new(user.UnknownUserError)) {
		return []finding.Finding{{ID: finding.NetdataAccess, Level: finding.Note, Subject: socket, Message: "there is no user " + netdataUser + ": whether Netdata may read from the socket depends on the user that it runs as",
			Remedy: "add that user to the group: usermod --append --groups " + group + " USER"}}
	}
	if err != nil {
		return []finding.Finding{m.failure(finding.NetdataAccess, socket, err, "repair the look-up of users: see nsswitch.conf(5)")}
	}
	owner, err := m.LookupGroup(group)
	if err != nil || !slices.Contains(account.Groups, owner.Gid) {
		return []finding.Finding{{ID: finding.NetdataAccess, Level: finding.Wrong, Subject: socket, Message: fmt.Sprintf("Netdata may not read from the socket: user %s is not in group %s", netdataUser, group),
			Remedy: fmt.Sprintf("usermod --append --groups %s %s && systemctl restart netdata", group, netdataUser)}}
	}
	return []finding.Finding{m.reaches(account, socket)}
}

// reaches checks the directories above the socket, from the root down.
func (m *Machine) reaches(account User, socket string) finding.Finding {
	var above []string
	for directory := path.Dir(path.Clean(socket)); directory != "/" && directory != "."; directory = path.Dir(directory) {
		above = append(above, directory)
	}
	for _, directory := range slices.Backward(above) {
		info, err := os.Stat(m.path(directory))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return finding.Finding{ID: finding.NetdataAccess, Level: finding.Note, Subject: socket, Message: fmt.Sprintf("whether Netdata can reach the socket can't be checked before there is a directory %s", directory),
				Remedy: "start the agent"}
		case err != nil:
			return m.failure(finding.NetdataAccess, socket, err, "make the directory readable")
		case !account.enters(info):
			return finding.Finding{ID: finding.NetdataAccess, Level: finding.Wrong, Subject: socket, Message: fmt.Sprintf("Netdata can't reach the socket %s: user %s may not enter %s (mode %#o)",
				socket, netdataUser, directory, info.Mode().Perm()), Remedy: "chmod o+x " + directory}
		}
	}
	return finding.Finding{ID: finding.NetdataAccess, Level: finding.OK, Subject: socket, Message: fmt.Sprintf("Netdata may read from the socket: user %s is in its group", netdataUser)}
}
