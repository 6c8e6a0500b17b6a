package cluster

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/internal/workers"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// A Survey is what lies where the files of a cluster belong, as it was found: the input of Compare besides the file and the
// inventory.
type Survey struct {
	// members are as the Spec's; places in them as wantedPlaces gives them.
	members []surveyed
	// there says that there is the directory itself; others are the directories in it that belong to no member.
	there  bool
	others []string
	// leftovers are what killed runs left beside the members' trees.
	leftovers bool
}

// surveyed is one member's tree.
type surveyed struct {
	there  bool
	fault  error // the tree is no directory, or cannot be entered
	places [][]sighting
}

// A sighting is one item and what there is in its place.
type sighting struct {
	item layout.Item
	durable.Sight
	key keySight
	// cert is the first certificate of a certificate's file, fault why there is none.
	cert  *certs.Certificate
	fault error
}

// keySight says what a private key's file holds. The key itself is not kept.
type keySight struct {
	state keyState
	id    string // of its public key, as in the inventory; only where the key is not the certificate's
}

type keyState string

const (
	keyNone      keyState = ""
	keyPaired    keyState = "paired" // the certificate's beside it
	keyOther     keyState = "other"
	keyEncrypted keyState = "encrypted"
	keyDamaged   keyState = "damaged"
	keyUnread    keyState = "unread" // not ours to read, or no file
)

// Limits of what is read.
const (
	maxCertificate = 1 << 20
	maxList        = 256 << 20
)

// aPlace is a member's place with the roles of its files.
type aPlace struct {
	layout.Place
	roles []certs.Role
	wants []int // indices of Spec.wants
}

// wantedPlaces groups what is wanted by member and place, both in the order of the Spec.
func (s Spec) wantedPlaces(wants []want) [][]aPlace {
	out := make([][]aPlace, 0, len(s.Members))
	last := ""
	for i, w := range wants {
		if len(out) == 0 || w.member.Name != last {
			out, last = append(out, nil), w.member.Name
		}
		places := &out[len(out)-1]
		if n := len(*places); n == 0 || (*places)[n-1].Kind != w.kind {
			*places = append(*places, aPlace{Place: s.place(w.member, w.kind)})
		}
		p := &(*places)[len(*places)-1]
		p.roles, p.wants = append(p.roles, w.fills...), append(p.wants, i)
	}
	return out
}

// itemCache gives the items of places; those of all hosts are alike.
type itemCache map[itemKey][]layout.Item

type itemKey struct {
	layout.Place
	server, client bool
}

func (c itemCache) items(p aPlace) []layout.Item {
	key := itemKey{p.Place, slices.Contains(p.roles, certs.Server), slices.Contains(p.roles, certs.Client)}
	items, ok := c[key]
	if !ok {
		items = p.Items(p.roles...)
		c[key] = items
	}
	return items
}

// Look looks at everything that belongs to the cluster's members. It reads certificates, CA files, revocation lists and, to
// see whether they belong to their certificates, private keys. It writes nothing and follows no links. The progress may be nil.
func (s Spec) Look(ctx context.Context, progress func(done, total int)) (Survey, error) {
	wants := s.wants()
	places := s.wantedPlaces(wants)
	v := Survey{members: make([]surveyed, len(places))}
	cache := itemCache{}
	items := make([][][]layout.Item, len(places))
	for i := range places {
		for _, p := range places[i] {
			items[i] = append(items[i], cache.items(p))
		}
	}
	d, err := durable.Open(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return v, fmt.Errorf("looking at %q: %w", s.Dir, err)
	}
	defer d.Close()
	v.there = true
	if err := v.readDir(s); err != nil {
		return v, err
	}
	view, err := d.View()
	if err != nil {
		return v, fmt.Errorf("looking at %q: %w", s.Dir, err)
	}
	defer view.Close()
	var report func(int)
	if progress != nil {
		report = func(done int) { progress(done, len(places)) }
	}
	err = workers.Do(ctx, len(places), runtime.GOMAXPROCS(0), func(n int) error {
		top := "."
		if !s.flat() {
			top = wants[places[n][0].wants[0]].member.Name
			tree := view.Look(top, false, 0)
			switch {
			case !tree.There:
				return nil
			case tree.Err != nil:
				v.members[n].fault = tree.Err
			case !tree.Mode.IsDir():
				v.members[n].fault = durable.ErrNotDirectory
				if tree.Mode&fs.ModeSymlink != 0 {
					v.members[n].fault = durable.ErrSymlink
				}
			}
			if v.members[n].fault != nil {
				return nil
			}
		}
		v.members[n].there = true
		for i := range places[n] {
			v.members[n].places = append(v.members[n].places, lookAt(view, top, items[n][i]))
		}
		return nil
	}, report)
	return v, err
}

// readDir lists what is beside the members' trees.
func (v *Survey) readDir(s Spec) error {
	if s.flat() {
		return nil
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return fmt.Errorf("looking at %q: %w", s.Dir, durable.Reason(err))
	}
	known := map[string]bool{AuthorityName: true}
	for _, m := range s.Members {
		known[m.Name] = true
	}
	for _, e := range entries {
		switch {
		case durable.IsLeftover(e.Name()):
			v.leftovers = true
		case e.IsDir() && !known[e.Name()] && !strings.HasPrefix(e.Name(), "."):
			if _, err := os.Lstat(filepath.Join(s.Dir, e.Name(), "authority.json")); err != nil { // another authority's directory
				v.others = append(v.others, e.Name())
			}
		}
	}
	return nil
}

// lookAt looks at the items of a place.
func lookAt(view *durable.Viewer, top string, items []layout.Item) []sighting {
	out := make([]sighting, len(items))
	for i, item := range items {
		limit := int64(maxCertificate)
		if item.Part == layout.CRL {
			limit = maxList
		}
		out[i] = sighting{item: item, Sight: view.Look(path.Join(top, item.Path), item.Part != layout.Directory, limit)}
	}
	for i := range out {
		if c := &out[i]; c.item.Part == layout.Cert && c.There {
			for j := range i { // QEMU's identity of a peer lies there twice
				if out[j].cert != nil && bytes.Equal(out[j].Data, c.Data) {
					c.cert = out[j].cert
				}
			}
			if c.cert == nil {
				c.cert, c.fault = certs.ImportPEM(c.Data)
			}
		}
	}
	for i := range out {
		if k := &out[i]; k.item.Part == layout.Key && k.There {
			var cert *certs.Certificate
			for j := range out {
				if out[j].item.Part == layout.Cert && out[j].item.Role == k.item.Role {
					cert = out[j].cert
				}
			}
			k.key = judgeKey(*k, cert)
			clear(k.Data)
			k.Data = nil
		}
	}
	return out
}

// judgeKey says whether a key's file holds the key of the certificate beside it. A key in PKCS#8 mostly has its public part
// in it; only where that is not the certificate's the key is read, which costs more.
func judgeKey(s sighting, cert *certs.Certificate) keySight {
	if s.Err != nil || !s.Mode.IsRegular() {
		return keySight{state: keyUnread}
	}
	var public any
	if cert != nil {
		public = cert.PublicKey
		if block, _ := pem.Decode(s.Data); block != nil && block.Type == "PRIVATE KEY" {
			part := publicPart(public)
			same := len(part) > 0 && bytes.Contains(block.Bytes, part)
			clear(block.Bytes)
			if same {
				return keySight{state: keyPaired}
			}
		}
	}
	key, err := certs.ParseKey(s.Data, nil)
	switch {
	case errors.Is(err, certs.ErrPassphraseNeeded):
		return keySight{state: keyEncrypted}
	case err != nil:
		return keySight{state: keyDamaged}
	case public != nil && certs.SameKey(key.Public(), public):
		return keySight{state: keyPaired}
	}
	id, err := certs.KeyID(key.Public())
	if err != nil {
		return keySight{state: keyDamaged}
	}
	return keySight{state: keyOther, id: hex.EncodeToString(id)}
}

// publicPart gives the octets that stand for a public key within its private key in PKCS#8; nil where they do not.
func publicPart(public any) []byte {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		part, err := k.Bytes()
		if err != nil {
			return nil
		}
		return part
	case *rsa.PublicKey:
		return k.N.Bytes()
	case ed25519.PublicKey: // the seed only
	}
	return nil
}
