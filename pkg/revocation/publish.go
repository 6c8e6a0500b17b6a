package revocation

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Fate says what became of a revocation list at one place.
type Fate string

// The fates.
const (
	// Placed: the list is there now, or would be.
	Placed Fate = "written"
	// Current: it was there already.
	Current Fate = "unchanged"
	// OtherCA: the place does not trust the authority, and was left alone.
	OtherCA Fate = "another CA's"
)

// A Posted says what was done at one place.
type Posted struct {
	layout.Spot
	// Path is the list's file as it is called on this machine.
	Path string
	Fate Fate
	// Old is the list of this authority that was there; nil: none.
	Old *crl.List
}

// Publish puts a revocation list of the authority into every place that trusts the authority. Everything is looked at before
// anything is written: a list that is newer than the given one, or a file that is no list, is an error, and nothing is
// changed. Each file is replaced at once, so that a daemon that starts meanwhile finds the old list or the new. The lists
// of other CAs in a file stay. With dryRun nothing is written,
// and list may be nil: one that is yet to be made.
func Publish(spots []layout.Spot, issuer *certs.Certificate, list *crl.List, dryRun bool) ([]Posted, error) {
	var posted []Posted
	var write []func() error
	if list == nil && !dryRun {
		return nil, errors.New("publishing: there is no revocation list")
	}
	var faults []error
	for _, s := range spots {
		// Opened twice, not kept: ten thousand hosts would be as many open directories.
		var done Posted
		var file *durable.File
		if err := durable.Within(s.Root, func(d *durable.Dir) (err error) {
			done, file, err = look(d, s, issuer, list)
			return err
		}); err != nil {
			faults = append(faults, err)
			continue
		}
		if file != nil {
			write = append(write, func() error { return durable.Within(s.Root, func(d *durable.Dir) error { return d.Write(*file) }) })
		}
		posted = append(posted, done)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if dryRun {
		return posted, nil
	}
	for _, w := range write {
		if err := w(); err != nil {
			return nil, fmt.Errorf("publishing the revocation list: %w", err)
		}
	}
	return posted, nil
}

// look decides about one place; file is nil where nothing is to be written.
func look(d *durable.Dir, s layout.Spot, issuer *certs.Certificate, list *crl.List) (Posted, *durable.File, error) {
	paths := s.Paths(certs.Client)
	p := Posted{Spot: s, Path: s.Shown(paths.CRL), Fate: OtherCA}
	text, info, err := layout.ReadIn(d, paths.CA)
	if err != nil {
		return p, nil, fmt.Errorf("reading %q: %w", s.Shown(paths.CA), err)
	}
	cas, _ := certs.ImportPEMList(text, 1024) // what is no certificate does not trust the authority
	if !slices.ContainsFunc(cas, func(c *certs.Certificate) bool { return bytes.Equal(c.Raw, issuer.Raw) }) {
		return p, nil, nil
	}
	var others []*crl.List
	there, _, err := layout.ReadIn(d, paths.CRL)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return p, nil, fmt.Errorf("reading %q: %w", p.Path, err)
	default:
		if others, err = crl.ParsePEM(there); err != nil {
			return p, nil, &NoListError{p.Path, err}
		}
	}
	for _, l := range crl.Effective(others) {
		if l.IssuedBy(issuer) {
			p.Old = l
		}
	}
	if list == nil {
		p.Fate = Placed
		return p, nil, nil
	}
	merged := ca.MergeLists(list, others)
	if bytes.Equal(merged, there) {
		p.Fate = Current
		return p, nil, nil
	}
	if p.Old != nil && !bytes.Equal(p.Old.Raw, list.Raw) {
		// A list that is not the authority's (libvirt would have honoured it all the same) is no reason to keep it.
		if p.Old.CheckSignature(issuer) == nil {
			if err := list.CheckNewer(p.Old); err != nil {
				return p, nil, fmt.Errorf("publishing to %q: %w", p.Path, err)
			}
		}
	}
	p.Fate = Placed
	file := &durable.File{Name: layout.Below(paths.CRL), Data: merged, Mode: 0o644, Replace: true}
	for _, item := range s.Items() {
		if item.Part == layout.CRL {
			file.Mode = item.Mode
		}
	}
	if there == nil {
		file.Owner = layout.OwnerOf(info) // as the CA file beside it
	}
	return p, file, nil
}

// A NoListError says that a file in the place of a revocation list is none: a daemon would not start with it.
type NoListError struct {
	Path string
	Err  error
}

// Error names the file.
func (e *NoListError) Error() string { return fmt.Sprintf("publishing to %q: %v", e.Path, e.Err) }

// Unwrap gives the cause.
func (e *NoListError) Unwrap() error { return e.Err }

// Hints names the remedy.
func (e *NoListError) Hints() []string {
	return []string{"libvirtd does not start with such a file: move it away, then publish again"}
}
