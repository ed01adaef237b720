package finding

// ID identifies what was checked. IDs are stable between versions, unlike the
// messages; integration/findings.md describes each. Several findings may share
// one: their subjects differ.
type ID string

// The IDs, in the order of the checks.
const (
	Settings            ID = "settings"
	Privilege           ID = "privilege"
	KernelNFTables      ID = "kernel-nf-tables"
	KernelCounterMaps   ID = "kernel-counter-maps"
	KernelOwnedTables   ID = "kernel-owned-tables"
	Agent               ID = "agent"
	Ledger              ID = "ledger"
	ConfigurationSearch ID = "configuration-search"
	Configuration       ID = "configuration"
	Clients             ID = "clients"
	PortList            ID = "port-list"
	PortListIncomplete  ID = "port-list-incomplete"
	PortListExtra       ID = "port-list-extra"
	PortListNotServed   ID = "port-list-not-served"
	PortNotListening    ID = "port-not-listening"
	ClientNames         ID = "client-names"
	LocalPortRange      ID = "local-port-range"
	CounterTable        ID = "counter-table"
	Ruleset             ID = "ruleset"
	PortDNAT            ID = "port-dnat"
	PortPublishedAs     ID = "port-published-as"
	SharedTarget        ID = "shared-target"
	LegacyNAT           ID = "legacy-nat"
	FlowOffload         ID = "flow-offload"
	TransparentProxy    ID = "transparent-proxy"
	MirroredPackets     ID = "mirrored-packets"
	LaterDropChain      ID = "later-drop-chain"
	CountingRules       ID = "counting-rules"
	AgentSocket         ID = "agent-socket"
	CSVFile             ID = "csv-file"
	CSVPrivateTmp       ID = "csv-private-tmp"
	NetdataPlugin       ID = "netdata-plugin"
	NetdataAccess       ID = "netdata-access"
	OldScript           ID = "old-script"
	OldUnit             ID = "old-unit"
	OldRules            ID = "old-rules"
	OldCSV              ID = "old-csv"
	OldModule           ID = "old-module"
	IPTablesLegacy      ID = "iptables-legacy"
)
