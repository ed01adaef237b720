package nft

import "golang.org/x/sys/unix"

// Constants of include/uapi/linux/netfilter/nf_tables.h that x/sys/unix lacks.
const (
	tableFlagOwner   = 0x2 // NFT_TABLE_F_OWNER, since Linux 5.12
	tableFlagPersist = 0x4 // NFT_TABLE_F_PERSIST, since Linux 6.9

	tableAttributeHandle   = 4 // NFTA_TABLE_HANDLE (__u64, be)
	tableAttributeUserdata = 6 // NFTA_TABLE_USERDATA: type, length, value; see below
	tableAttributeOwner    = 7 // NFTA_TABLE_OWNER (__u32, be): netlink port id

	objectAttributeHandle = 6 // NFTA_OBJ_HANDLE (__u64, be)
)

// epochType is the type of our entry in a table's user data, beside the
// comment (type 0, NFTNL_UDATA_TABLE_COMMENT of libnftnl). nft neither prints
// nor restores it, so a table that was loaded from a file has none.
const epochType = 200

// Data types of nft's concatenation: src/datatype.h of nftables. A
// concatenation is six bits a field, first field highest.
const (
	typeInetProtocol = 12
	typeInetService  = 13
	typeBits         = 6

	mapKeyType = typeInetProtocol<<typeBits | typeInetService
)

// accept is NF_ACCEPT of include/uapi/linux/netfilter.h, the verdict that ends
// our chains.
const accept = 1

// routeLocal is RTN_LOCAL of include/uapi/linux/rtnetlink.h.
const routeLocal = unix.RTN_LOCAL

// Message types, as they stand in the header: subsystem and type.
const (
	subsystem = unix.NFNL_SUBSYS_NFTABLES << 8

	newTable       = subsystem | unix.NFT_MSG_NEWTABLE
	getTable       = subsystem | unix.NFT_MSG_GETTABLE
	deleteTable    = subsystem | unix.NFT_MSG_DELTABLE
	newChain       = subsystem | unix.NFT_MSG_NEWCHAIN
	getChain       = subsystem | unix.NFT_MSG_GETCHAIN
	deleteChain    = subsystem | unix.NFT_MSG_DELCHAIN
	newRule        = subsystem | unix.NFT_MSG_NEWRULE
	getRule        = subsystem | unix.NFT_MSG_GETRULE
	deleteRule     = subsystem | unix.NFT_MSG_DELRULE
	newSet         = subsystem | unix.NFT_MSG_NEWSET
	getSet         = subsystem | unix.NFT_MSG_GETSET
	deleteSet      = subsystem | unix.NFT_MSG_DELSET
	newElement     = subsystem | unix.NFT_MSG_NEWSETELEM
	getElement     = subsystem | unix.NFT_MSG_GETSETELEM
	deleteElement  = subsystem | unix.NFT_MSG_DELSETELEM
	newObject      = subsystem | unix.NFT_MSG_NEWOBJ
	getObject      = subsystem | unix.NFT_MSG_GETOBJ
	deleteObject   = subsystem | unix.NFT_MSG_DELOBJ
	getGeneration  = subsystem | unix.NFT_MSG_GETGEN
	batchBegin     = unix.NFNL_MSG_BATCH_BEGIN
	batchEnd       = unix.NFNL_MSG_BATCH_END
	familyInet     = unix.NFPROTO_INET
	familyAny      = unix.NFPROTO_UNSPEC
	headerLength   = unix.SizeofNlMsghdr + 4 // struct nlmsghdr and struct nfgenmsg
	attributeSpace = unix.SizeofNlAttr
)
