package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
)

// This file reads bbolt's file format without trusting it. A file consists of
// pages; the first two each hold a root with a checksum, of which the one with
// the higher transaction number is in force. Pages form a tree of
// branches and leaves; a leaf of the root's tree holds buckets, each a tree
// again or, where it is small, a leaf written inside the entry. Numbers are in
// the machine's own byte order.
//
// The walk covers whatever bbolt itself looks at when it opens a file and
// works out its free pages, so that bbolt can't fail on a file that passed.

// Constants of the format: internal/common/page.go, meta.go and bucket.go of
// go.etcd.io/bbolt v1.5.0.
const (
	pageSize         = 4096 // of our files, on every machine
	pageHeaderSize   = 16   // id uint64, flags uint16, count uint16, overflow uint32
	elementSize      = 16   // of a leaf: flags, position, key size, value size uint32; of a branch: position, key size uint32, page uint64
	bucketHeaderSize = 16   // root page uint64, sequence uint64
	branchFlag       = 0x01
	leafFlag         = 0x02
	bucketFlag       = 0x01 // of a leaf's element
	rootMagic        = 0xED0CDAED
	rootVersion      = 2
	rootLength       = 64 // magic, version, page size, flags uint32, root page, sequence, free list, pages, transaction, checksum uint64
	firstTreePage    = 2
	maxDepth         = 32
)

// root is what one of the first two pages holds.
type root struct {
	page        uint64 // where the tree begins
	pages       uint64 // of the file that are or were in use
	transaction uint64
}

// readRoot returns the root in force. bbolt would make do with one valid root
// page; but a root page is less than a sector, so that no power cut damages
// one, and without it the last save would be gone unnoticed.
func readRoot(source io.ReaderAt) (root, error) {
	first, err := readRootPage(source, 0)
	if err != nil {
		return root{}, err
	}
	second, err := readRootPage(source, 1)
	if err != nil {
		return root{}, err
	}
	if second.transaction > first.transaction {
		return second, nil
	}
	return first, nil
}

func readRootPage(source io.ReaderAt, number int) (root, error) {
	var content [rootLength]byte
	if _, err := source.ReadAt(content[:], int64(number)*pageSize+pageHeaderSize); err != nil {
		return root{}, damaged("reading root page %d: %w", number, err)
	}
	order := binary.NativeEndian
	magic, version, size := order.Uint32(content[0:]), order.Uint32(content[4:]), order.Uint32(content[8:])
	hash := fnv.New64a()
	_, _ = hash.Write(content[:rootLength-8])
	switch {
	case magic != rootMagic || version != rootVersion || size != pageSize:
		return root{}, damaged("root page %d has magic %#x, version %d, page size %d, expected %#x, %d, %d",
			number, magic, version, size, uint32(rootMagic), rootVersion, pageSize)
	case hash.Sum64() != order.Uint64(content[rootLength-8:]):
		return root{}, damaged("root page %d has a wrong checksum", number)
	}
	return root{
		page:        order.Uint64(content[16:]),
		pages:       order.Uint64(content[40:]),
		transaction: order.Uint64(content[48:]),
	}, nil
}

// size is how much of the file the tree uses, in bytes.
func (r root) size() int64 { return int64(r.pages) * pageSize }

// tree is a walk through the pages of one root.
type tree struct {
	source  io.ReaderAt
	root    root
	seen    []bool   // by page
	buffers [][]byte // by depth
}

// newTree starts a walk through a file of size bytes.
func newTree(source io.ReaderAt, size int64, root root) (*tree, error) {
	if root.pages > uint64(size)/pageSize {
		return nil, damaged("the file is %d bytes long, expected %d pages of %d bytes", size, root.pages, pageSize)
	}
	return &tree{source: source, root: root, seen: make([]bool, root.pages)}, nil
}

// bucket is a named set of rows: a tree of its own, or where that is nil the
// page that was found inside the entry.
type bucket struct {
	name   string
	page   uint64
	inline []byte
}

// element is an entry of a leaf.
type element struct {
	flags      uint32
	key, value []byte
}

// buckets returns all buckets in the order of their names.
func (t *tree) buckets() ([]bucket, error) {
	var found []bucket
	err := t.walk(t.root.page, 0, bounds{}, func(e element) error {
		if e.flags != bucketFlag || len(e.key) > maxBucketName || len(e.value) < bucketHeaderSize {
			return damaged("the root has an entry of %d bytes with flags %#x and a name of %d bytes, expected a bucket",
				len(e.value), e.flags, len(e.key))
		}
		b := bucket{name: string(e.key), page: binary.NativeEndian.Uint64(e.value)}
		if b.page == 0 {
			b.inline = bytes.Clone(e.value[bucketHeaderSize:])
		}
		found = append(found, b)
		return nil
	})
	return found, err
}

// rows calls visit with every row of the bucket in the order of keys. Key and
// value are valid during the call only.
func (t *tree) rows(b bucket, visit func(key, value []byte) error) error {
	each := func(e element) error {
		if e.flags != 0 || len(e.key) > maxKeyLength {
			return damaged("bucket %q has an entry with flags %#x and a key of %d bytes, expected a row", b.name, e.flags, len(e.key))
		}
		return visit(e.key, e.value)
	}
	if b.inline == nil {
		return t.walk(b.page, 0, bounds{}, each)
	}
	p, err := parsePage(b.inline)
	if err != nil {
		return fmt.Errorf("bucket %q: %w", b.name, err)
	}
	if p.branch || p.overflow != 0 {
		return damaged("bucket %q holds a page inside its entry that is no single leaf", b.name)
	}
	return p.leaves(bounds{}, each)
}

// bounds are what the pages above allow as keys: lower <= key < upper, nil
// for no bound.
type bounds struct{ lower, upper []byte }

// walk visits the elements of all leaves below the page.
func (t *tree) walk(id uint64, depth int, within bounds, visit func(element) error) error {
	p, err := t.read(id, depth)
	if err != nil {
		return err
	}
	if !p.branch {
		if err := p.leaves(within, visit); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		return nil
	}
	if p.count == 0 {
		return damaged("page %d is a branch without entries", id)
	}
	for i := range p.count {
		key, child, err := p.branchElement(i)
		if err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		below := bounds{lower: key, upper: within.upper}
		if i+1 < p.count {
			if below.upper, _, err = p.branchElement(i + 1); err != nil {
				return fmt.Errorf("page %d: %w", id, err)
			}
		}
		if !within.hold(key) || (below.upper != nil && bytes.Compare(key, below.upper) >= 0) {
			return damaged("page %d: the keys of the branch are out of order at entry %d", id, i)
		}
		if err := t.walk(child, depth+1, below, visit); err != nil {
			return err
		}
	}
	return nil
}

func (b bounds) hold(key []byte) bool {
	return bytes.Compare(b.lower, key) <= 0 && (b.upper == nil || bytes.Compare(key, b.upper) < 0)
}

// read returns the page, each page of a tree only once.
func (t *tree) read(id uint64, depth int) (page, error) {
	if depth >= maxDepth {
		return page{}, damaged("page %d: the tree is deeper than %d pages", id, maxDepth)
	}
	if err := t.take(id); err != nil {
		return page{}, err
	}
	for len(t.buffers) <= depth {
		t.buffers = append(t.buffers, make([]byte, pageSize))
	}
	buffer := t.buffers[depth][:pageSize]
	if _, err := t.source.ReadAt(buffer, int64(id)*pageSize); err != nil {
		return page{}, damaged("reading page %d: %w", id, err)
	}
	p, err := parsePage(buffer)
	if err != nil {
		return page{}, fmt.Errorf("page %d: %w", id, err)
	}
	if p.id != id {
		return page{}, damaged("page %d says that it is page %d", id, p.id)
	}
	for i := range p.overflow {
		if err := t.take(id + 1 + i); err != nil {
			return page{}, err
		}
	}
	if p.overflow > 0 {
		buffer = slices.Grow(buffer, int(p.overflow)*pageSize)[:pageSize*(1+p.overflow)]
		if _, err := t.source.ReadAt(buffer[pageSize:], int64(id+1)*pageSize); err != nil {
			return page{}, damaged("reading page %d: %w", id+1, err)
		}
		t.buffers[depth], p.content = buffer, buffer
	}
	return p, nil
}

func (t *tree) take(id uint64) error {
	if id < firstTreePage || id >= t.root.pages {
		return damaged("page %d is used, expected numbers from %d to below %d", id, firstTreePage, t.root.pages)
	}
	if t.seen[id] {
		return damaged("page %d is used twice", id)
	}
	t.seen[id] = true
	return nil
}

// page is one page with those that it overflows into.
type page struct {
	id       uint64
	branch   bool // else it is a leaf
	count    int
	overflow uint64 // number of pages after this one
	content  []byte
}

func parsePage(content []byte) (page, error) {
	if len(content) < pageHeaderSize {
		return page{}, damaged("a page is %d bytes long, expected at least %d", len(content), pageHeaderSize)
	}
	order := binary.NativeEndian
	flags := order.Uint16(content[8:])
	if flags != branchFlag && flags != leafFlag {
		return page{}, damaged("the page's type is %#x, expected a branch or a leaf", flags)
	}
	return page{
		id:       order.Uint64(content),
		branch:   flags == branchFlag,
		count:    int(order.Uint16(content[10:])),
		overflow: uint64(order.Uint32(content[12:])),
		content:  content,
	}, nil
}

func (p page) leaves(within bounds, visit func(element) error) error {
	var previous []byte
	for i := range p.count {
		e, err := p.leafElement(i)
		if err != nil {
			return err
		}
		if !within.hold(e.key) || (i > 0 && bytes.Compare(previous, e.key) >= 0) {
			return damaged("the keys of the leaf are out of order at entry %d", i)
		}
		if err := visit(e); err != nil {
			return err
		}
		previous = e.key
	}
	return nil
}

func (p page) leafElement(i int) (element, error) {
	fields, err := p.part(uint64(pageHeaderSize+i*elementSize), elementSize)
	if err != nil {
		return element{}, err
	}
	order := binary.NativeEndian
	key, err := p.key(i, order.Uint32(fields[4:]), order.Uint32(fields[8:]))
	if err != nil {
		return element{}, err
	}
	start := uint64(pageHeaderSize+i*elementSize) + uint64(order.Uint32(fields[4:])) + uint64(len(key))
	value, err := p.part(start, uint64(order.Uint32(fields[12:])))
	return element{flags: order.Uint32(fields), key: key, value: value}, err
}

func (p page) branchElement(i int) (key []byte, child uint64, err error) {
	fields, err := p.part(uint64(pageHeaderSize+i*elementSize), elementSize)
	if err != nil {
		return nil, 0, err
	}
	order := binary.NativeEndian
	key, err = p.key(i, order.Uint32(fields), order.Uint32(fields[4:]))
	return key, order.Uint64(fields[8:]), err
}

// key returns a key by its position, which counts from its element on.
func (p page) key(i int, position, size uint32) ([]byte, error) {
	if size == 0 {
		return nil, damaged("entry %d has no key", i)
	}
	return p.part(uint64(pageHeaderSize+i*elementSize)+uint64(position), uint64(size))
}

func (p page) part(start, length uint64) ([]byte, error) {
	end := start + length
	if end > uint64(len(p.content)) {
		return nil, damaged("an entry ends at byte %d of a page of %d bytes", end, len(p.content))
	}
	return p.content[start:end:end], nil
}
