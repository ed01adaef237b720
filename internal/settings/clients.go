package settings

import (
	"cmp"
	"fmt"
	"path/filepath"

	"ssmonitor/integration/clients"
)

// setClients sets what depends on several keys: the file of clients is beside the list of
// ports unless another one is named.
func (s *Settings) setClients(in Inputs) {
	if !s.Given("clients") {
		s.Clients = filepath.Join(filepath.Dir(cmp.Or(s.List, DefaultList)), clients.DefaultName)
	}
	if s.Given("port") && !in.GivenAtStart("port") {
		s.PortFile = in.FilePath()
	}
}

// PortNote returns a note if the settings file names ports, which have a better place in
// the file of clients; else nil.
func (s *Settings) PortNote() error {
	if s.PortFile == "" || s.Clients == "" || len(s.PortSpecs) == 0 {
		return nil
	}
	return fmt.Errorf("%s: key port: it counts as before, and %s is the place for it now, where commands can change it: "+
		"write these lines there, except for ports that it has already, and remove the key: %s", s.PortFile, s.Clients, clients.Blocks(s.PortSpecs...))
}
