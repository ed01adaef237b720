package accounting

// ConnectionSource counts who is connected. Its method is called by one goroutine
// at a time.
type ConnectionSource interface {
	// Count returns the connections of each port, in the order of the ports, and
	// reuses the slice. Those that can't be seen stay unknown.
	Count(ports Ports, reuse []Connections) ([]Connections, error)
}

// ConnectionsVisible reports whether the connections of the port can be counted:
// UDP has none, and those of a published port are in the network namespace of its
// container.
func (p Port) ConnectionsVisible() bool { return p.Protocols.Has(TCP) && !p.Published }
