package nft

import "golang.org/x/sys/unix"

// Constants of include/uapi/linux/netfilter/nf_tables.h that x/sys/unix lacks.
const (
	tableFlagDormant = 0x1 // NFT_TABLE_F_DORMANT
	tableFlagOwner   = 0x2 // NFT_TABLE_F_OWNER, since Linux 5.12
	tableFlagPersist = 0x4 // NFT_TABLE_F_PERSIST, since Linux 6.9

	attrTableHandle   = 4 // NFTA_TABLE_HANDLE (__u64, be)
	attrTableUserdata = 6 // NFTA_TABLE_USERDATA: type, length, value; see udataEpoch

	attrChainFlags   = 10  // NFTA_CHAIN_FLAGS (__u32, be)
	chainFlagBinding = 0x4 // NFT_CHAIN_BINDING: the anonymous chain of a jump, removed with its rule

	attrObjHandle   = 6 // NFTA_OBJ_HANDLE (__u64, be)
	attrObjUserdata = 8 // NFTA_OBJ_USERDATA, since Linux 5.10; see createdFlag

	attrFlowtableName = 2 // NFTA_FLOWTABLE_NAME

	// attrTable is the table's name in each message: NFTA_TABLE_NAME, NFTA_CHAIN_TABLE,
	// NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE, NFTA_OBJ_TABLE and
	// NFTA_FLOWTABLE_TABLE.
	attrTable = 1

	elemFlagCatchall = 0x2 // NFT_SET_ELEM_CATCHALL: the element `*`, which has no key

	metaInputKind  = 26 // NFT_META_IIFKIND, since Linux 5.0
	metaOutputKind = 27 // NFT_META_OIFKIND

	attrBatchGenID = 1 // NFNL_BATCH_GENID (__u32, be): include/uapi/linux/netfilter/nfnetlink.h
	attrGenID      = 1 // NFTA_GEN_ID (__u32, be)
)

// Types of our own entries in user data, besides the comment (type 0,
// NFTNL_UDATA_TABLE_COMMENT of libnftnl). nft neither prints nor restores them:
// a table or a counter that was loaded from a file has none.
const (
	udataEpoch  = 200 // of a table: its accounting.Epoch
	createdFlag = 200 // of a counter: ssmonitor created it, so it began at 0
)

// Data types of nft's concatenation: src/datatype.h of nftables. A
// concatenation takes six bits per field, the first field highest.
const (
	typeIPv4Address  = 7
	typeIPv6Address  = 8
	typeInetProtocol = 12
	typeInetService  = 13
	typeBits         = 6

	mapKeyType = typeInetProtocol<<typeBits | typeInetService
)

// verdictAccept is NF_ACCEPT of include/uapi/linux/netfilter.h.
const verdictAccept = 1

// Message types, as they stand in the header: subsystem and type.
const (
	subsystem = unix.NFNL_SUBSYS_NFTABLES << 8

	msgNewTable      = subsystem | unix.NFT_MSG_NEWTABLE
	msgGetTable      = subsystem | unix.NFT_MSG_GETTABLE
	msgDelTable      = subsystem | unix.NFT_MSG_DELTABLE
	msgNewChain      = subsystem | unix.NFT_MSG_NEWCHAIN
	msgGetChain      = subsystem | unix.NFT_MSG_GETCHAIN
	msgDelChain      = subsystem | unix.NFT_MSG_DELCHAIN
	msgNewRule       = subsystem | unix.NFT_MSG_NEWRULE
	msgGetRule       = subsystem | unix.NFT_MSG_GETRULE
	msgDelRule       = subsystem | unix.NFT_MSG_DELRULE
	msgNewSet        = subsystem | unix.NFT_MSG_NEWSET
	msgGetSet        = subsystem | unix.NFT_MSG_GETSET
	msgDelSet        = subsystem | unix.NFT_MSG_DELSET
	msgNewElement    = subsystem | unix.NFT_MSG_NEWSETELEM
	msgGetElement    = subsystem | unix.NFT_MSG_GETSETELEM
	msgDelElement    = subsystem | unix.NFT_MSG_DELSETELEM
	msgNewObject     = subsystem | unix.NFT_MSG_NEWOBJ
	msgGetObject     = subsystem | unix.NFT_MSG_GETOBJ
	msgDelObject     = subsystem | unix.NFT_MSG_DELOBJ
	msgGetFlowtable  = subsystem | unix.NFT_MSG_GETFLOWTABLE
	msgDelFlowtable  = subsystem | unix.NFT_MSG_DELFLOWTABLE
	msgNewGeneration = subsystem | unix.NFT_MSG_NEWGEN
	msgGetGeneration = subsystem | unix.NFT_MSG_GETGEN
	msgBatchBegin    = unix.NFNL_MSG_BATCH_BEGIN
	msgBatchEnd      = unix.NFNL_MSG_BATCH_END
)

// messageKinds are the messages of a batch: the attribute with the name of the object
// that each one is about, and what it does, for errors.
var messageKinds = map[uint16]struct {
	nameAttribute uint16
	words         string
}{
	msgNewTable:     {unix.NFTA_TABLE_NAME, "creating table inet "},
	msgDelTable:     {unix.NFTA_TABLE_NAME, "deleting table inet "},
	msgNewObject:    {unix.NFTA_OBJ_NAME, "creating counter "},
	msgDelObject:    {unix.NFTA_OBJ_NAME, "deleting counter "},
	msgNewSet:       {unix.NFTA_SET_NAME, "creating map "},
	msgDelSet:       {unix.NFTA_SET_NAME, "deleting set "},
	msgNewElement:   {unix.NFTA_SET_ELEM_LIST_SET, "adding ports to map "},
	msgDelElement:   {unix.NFTA_SET_ELEM_LIST_SET, ""}, // names the element, too
	msgNewChain:     {unix.NFTA_CHAIN_NAME, "creating chain "},
	msgDelChain:     {unix.NFTA_CHAIN_NAME, "deleting chain "},
	msgNewRule:      {unix.NFTA_RULE_CHAIN, "creating the rule of chain "},
	msgDelRule:      {unix.NFTA_RULE_CHAIN, "deleting the rules of chain "},
	msgDelFlowtable: {attrFlowtableName, "deleting flowtable "},
}

const (
	familyInet   = unix.NFPROTO_INET
	familyAny    = unix.NFPROTO_UNSPEC
	headerLength = 4 // of struct nfgenmsg, which follows struct nlmsghdr
)
