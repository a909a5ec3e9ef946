package helmrepo

import (
	"io"
	"sync"
)

// Indexes keeps the tables of contents of indexes by their digest, so that an index is gone through once for all charts that are
// looked for in it. It is safe for concurrent use.
type Indexes struct {
	// Limit bounds what is kept, in bytes; what was not used for longest goes first. The last one used always stays.
	Limit int64

	mu    sync.Mutex
	kept  map[string]*kept
	clock uint64
}

type kept struct {
	// filling is held while the index is read for the first time.
	filling sync.Mutex
	index   *Index
	cost    int64
	used    uint64
}

// Get returns the table of contents of the file with the given digest, which was checked before.
func (c *Indexes) Get(digest string, file io.ReadSeeker) (*Index, error) {
	k := c.entry(digest)
	k.filling.Lock()
	defer k.filling.Unlock()
	if index := c.filled(k); index != nil {
		return index, nil
	}
	index, err := Outline(file)
	if err != nil {
		c.drop(digest, k)
		return nil, err
	}
	c.fill(k, index)
	return index, nil
}

// Put keeps the table of contents of the file with the given digest.
func (c *Indexes) Put(digest string, index *Index) { c.fill(c.entry(digest), index) }

func (c *Indexes) entry(digest string) *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[string]*kept{}
	}
	k := c.kept[digest]
	if k == nil {
		k = &kept{}
		c.kept[digest] = k
	}
	c.clock++
	k.used = c.clock
	return k
}

func (c *Indexes) filled(k *kept) *Index {
	c.mu.Lock()
	defer c.mu.Unlock()
	return k.index
}

func (c *Indexes) fill(k *kept, index *Index) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.index, k.cost = index, index.cost()
	for c.size() > c.Limit && len(c.kept) > 1 {
		oldest := ""
		for digest, other := range c.kept {
			if oldest == "" || other.used < c.kept[oldest].used {
				oldest = digest
			}
		}
		delete(c.kept, oldest)
	}
}

func (c *Indexes) drop(digest string, k *kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[digest] == k {
		delete(c.kept, digest)
	}
}

func (c *Indexes) size() (n int64) {
	for _, k := range c.kept {
		n += k.cost
	}
	return n
}

// cost is about what an index takes in memory, in bytes.
func (x *Index) cost() int64 {
	n := int64(1 << 10)
	for name := range x.charts {
		n += int64(len(name)) + 96
	}
	return n
}
