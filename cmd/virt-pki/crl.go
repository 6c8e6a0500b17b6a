package main

import (
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

func (p *program) crlShowCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "what a revocation list says, and whether it is a good one", ArgsUsage: "FILE",
		Description: `Shows each list of a file and judges it as RFC 5280 wants it: issuer, signature, dates, number.
libvirt does none of this: it honours a stale list for ever, and a forged one as well. The CA
is taken from --ca-file, or from cacert.pem (ca-cert.pem, ../CA/cacert.pem) beside the file.

EXAMPLES
   virt-pki crl show /etc/pki/CA/cacrl.pem
   virt-pki crl show --ca-file cacert.pem --all cacrl.pem
   virt-pki crl show --at +30d cacrl.pem        will it be stale in a month?

EXIT STATUS
   0 a good list   1 a fault: signature, issuer, stale, ...   2 wrong usage   3 could not complete`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "ca-file", Usage: "`FILE`: the CA's certificate", DefaultText: "beside the list"},
			&cli.BoolFlag{Name: "all", Usage: "show all entries, not the first 20"},
			atFlag(), jsonFlag(), quietFlag(),
		},
		Action: p.crlShow,
	}
}

func (p *program) crlCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "is a certificate on a revocation list?", ArgsUsage: "FILE SERIAL|CERT...",
		Description: `Looks certificates up as libvirt does: the list's issuer must be the certificate's, then the serial
number counts. A CERT is a file; a SERIAL is in hex and is looked for in all lists of the file.
A list of a million entries takes about as long as reading it.

EXAMPLES
   virt-pki crl check /etc/pki/CA/cacrl.pem /etc/pki/libvirt/clientcert.pem
   virt-pki crl check cacrl.pem 5D:3E:81 1234

EXIT STATUS
   0 none is revoked   1 at least one is   2 wrong usage
   3 could not complete, or a certificate has an issuer of whom the file has no list`,
		Flags:  []cli.Flag{jsonFlag(), quietFlag()},
		Action: p.crlCheck,
	}
}

func (p *program) crlDiffCommand() *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "what a new revocation list says other than an old one", ArgsUsage: "OLD NEW",
		Description: `Shows which certificates are added (+), no longer revoked (-) or revoked otherwise (~), and warns
when the new list is not newer. Of several lists in a file those of one issuer are compared.

EXAMPLES
   virt-pki crl diff /etc/pki/CA/cacrl.pem ./cluster/authority/cacrl.pem

EXIT STATUS
   0 the same certificates are revoked   1 there are differences   2 wrong usage
   3 could not complete`,
		Flags:  []cli.Flag{jsonFlag(), quietFlag()},
		Action: p.crlDiff,
	}
}

// readCRL reads the lists of a file, PEM or DER.
func (p *program) readCRL(name string) ([]*crl.List, []byte, error) {
	text, err := p.read("the revocation list", name)
	if err != nil {
		return nil, nil, err
	}
	if len(text) > 0 && text[0] == 0x30 {
		l, err := crl.Parse(text)
		if err != nil {
			return nil, nil, &fileError{name, "reading the revocation list", err}
		}
		return []*crl.List{l}, text, nil
	}
	lists, err := crl.ParsePEM(text)
	if err != nil {
		return nil, nil, &fileError{name, "reading the revocation list", err}
	}
	return lists, text, nil
}

// An entryView is one revoked certificate.
type entryView struct {
	Serial  string    `json:"serial"`
	Revoked time.Time `json:"revoked"`
	Reason  *string   `json:"reason"`
}

func viewEntry(e crl.Entry) entryView {
	return entryView{fmt.Sprintf("%X", e.SerialNumber()), e.Revoked, optional(e.ReasonText())}
}

func (e entryView) text() string {
	s := e.Serial + "  " + e.Revoked.Format("2006-01-02 15:04:05")
	if e.Reason != nil {
		s += "  " + *e.Reason
	}
	return s
}

// A listView shows one list.
type listView struct {
	Issuer     string      `json:"issuer"`
	Number     *big.Int    `json:"number"`
	ThisUpdate time.Time   `json:"this_update"`
	NextUpdate *time.Time  `json:"next_update"`
	CA         *string     `json:"ca"`
	Count      int         `json:"count"`
	Entries    []entryView `json:"entries"`
	Problems   []string    `json:"problems"`
	Notes      []string    `json:"notes"`
}

func (p *program) crlShow(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage("crl show needs one FILE").hint("virt-pki crl show /etc/pki/CA/cacrl.pem")
	}
	now, err := p.at(c)
	if err != nil {
		return err
	}
	name := c.Args().First()
	lists, text, err := p.readCRL(name)
	if err != nil {
		return err
	}
	cas, caFile, err := p.caBeside(c.String("ca-file"), name)
	if err != nil {
		return err
	}
	v := struct {
		Schema int        `json:"schema"`
		File   string     `json:"file"`
		Lists  []listView `json:"lists"`
	}{1, name, nil}
	used := map[*crl.List]bool{}
	for _, l := range crl.Effective(lists) {
		used[l] = true
	}
	faulty := false
	for _, l := range lists {
		view := viewList(l, cas, caFile, now)
		if !used[l] {
			view.Notes = append(view.Notes, "libvirt does not use it: a newer list of the same issuer is in the file")
		}
		if text[0] == 0x30 {
			view.Problems = append(view.Problems, "the file is DER: libvirtd does not start with it; virt-pki crl publish writes PEM")
		}
		faulty = faulty || len(view.Problems) > 0
		v.Lists = append(v.Lists, view)
	}
	if err := p.show(c, v, func() {
		for i, l := range v.Lists {
			if i > 0 {
				fmt.Fprintln(p.stdout)
			}
			p.printList(l, c.Bool("all"))
		}
	}); err != nil {
		return err
	}
	if faulty {
		return status(exitFindings)
	}
	return nil
}

func viewList(l *crl.List, cas []*certs.Certificate, caFile string, now time.Time) listView {
	v := listView{Number: l.Number, ThisUpdate: l.ThisUpdate, Count: l.Len(), Entries: []entryView{}, Problems: []string{}, Notes: []string{}}
	v.Issuer, _ = l.Issuer.Text()
	if !l.NextUpdate.IsZero() {
		v.NextUpdate = &l.NextUpdate
	}
	for e, err := range l.Entries() {
		if err == nil {
			v.Entries = append(v.Entries, viewEntry(e))
		}
	}
	issuer := issuerOf(l, cas)
	if issuer == nil {
		reason := "its signature could not be checked: no CA certificate was found beside it (--ca-file)"
		if caFile != "" {
			reason = "its signature could not be checked: its issuer is not in " + caFile
		}
		v.Notes = append(v.Notes, reason)
		// The rest of the judgement needs no CA.
		issuer = &certs.Certificate{Subject: l.Issuer}
	} else {
		v.CA = &caFile
	}
	for _, fault := range split(l.Validate(issuer, now)) {
		switch {
		case v.CA == nil && (errors.Is(fault, crl.ErrSignature) || errors.Is(fault, crl.ErrIssuer)):
		case errors.Is(fault, crl.ErrMayNotSign), errors.Is(fault, crl.ErrNoNumber), errors.Is(fault, crl.ErrNoNextDate):
			v.Notes = append(v.Notes, fault.Error())
		default:
			v.Problems = append(v.Problems, fault.Error())
		}
	}
	return v
}

// split gives the errors that were joined.
func split(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// issuerOf finds the CA of a list: of those with its name the one whose key has signed it, else the first.
func issuerOf(l *crl.List, cas []*certs.Certificate) *certs.Certificate {
	var named *certs.Certificate
	for _, c := range cas {
		if l.IssuedBy(c) {
			if l.CheckSignature(c) == nil {
				return c
			}
			if named == nil {
				named = c
			}
		}
	}
	return named
}

// caBeside reads the CA certificates of a file, or of the one that belongs to a revocation list's place.
func (p *program) caBeside(file, list string) ([]*certs.Certificate, string, error) {
	if file != "" {
		text, err := p.read("the CA certificate", file)
		if err != nil {
			return nil, file, err
		}
		cas, err := certs.ImportPEMList(text, 0)
		if err != nil {
			return nil, file, &fileError{file, "reading the CA certificate", err}
		}
		return cas, file, nil
	}
	if list == "-" {
		return nil, "", nil
	}
	for _, name := range []string{"cacert.pem", "ca-cert.pem", "../CA/cacert.pem"} {
		name = filepath.Join(filepath.Dir(list), name)
		if text, err := p.readFile(name); err == nil {
			if cas, err := certs.ImportPEMList(text, 0); err == nil {
				return cas, name, nil
			}
		}
	}
	return nil, "", nil
}

func (p *program) printList(v listView, all bool) {
	w := p.stdout
	number := "none"
	if v.Number != nil {
		number = v.Number.String()
	}
	fmt.Fprintf(w, "CRL of %s\n  number       %s\n  made         %s\n", visible(v.Issuer), number, v.ThisUpdate.Format("2006-01-02 15:04:05"))
	if v.NextUpdate != nil {
		fmt.Fprintf(w, "  next by      %s\n", v.NextUpdate.Format("2006-01-02 15:04:05"))
	}
	if v.CA != nil {
		fmt.Fprintf(w, "  CA           %s\n", *v.CA)
	}
	fmt.Fprintf(w, "  revoked      %s\n", plural(v.Count, "certificate"))
	const most = 20
	for i, e := range v.Entries {
		if i == most && !all && len(v.Entries) > most+1 {
			fmt.Fprintf(w, "    ... and %d more (--all)\n", len(v.Entries)-most)
			break
		}
		fmt.Fprintf(w, "    %s\n", e.text())
	}
	for _, n := range v.Notes {
		fmt.Fprintf(w, "  note: %s\n", visible(n))
	}
	for _, n := range v.Problems {
		fmt.Fprintf(w, "  error: %s\n", visible(n))
	}
}

// A checkedView is the answer about one certificate.
type checkedView struct {
	Certificate string  `json:"certificate"`
	Serial      string  `json:"serial"`
	DN          *string `json:"dn"`
	// Status is revoked, good or unknown: no list of its issuer is there.
	Status  string     `json:"status"`
	Revoked *time.Time `json:"revoked"`
	Reason  *string    `json:"reason"`
}

func (p *program) crlCheck(c *cli.Context) error {
	if c.NArg() < 2 {
		return usage("crl check needs a FILE and a SERIAL or CERT").hint("virt-pki crl check /etc/pki/CA/cacrl.pem clientcert.pem")
	}
	lists, _, err := p.readCRL(c.Args().First())
	if err != nil {
		return err
	}
	lists = crl.Effective(lists)
	v := struct {
		Schema int           `json:"schema"`
		File   string        `json:"file"`
		Items  []checkedView `json:"items"`
	}{1, c.Args().First(), nil}
	revoked, unknown := false, false
	for _, arg := range c.Args().Slice()[1:] {
		view, err := p.checkOne(lists, arg)
		if err != nil {
			return err
		}
		revoked, unknown = revoked || view.Status == "revoked", unknown || view.Status == "unknown"
		v.Items = append(v.Items, view)
	}
	if err := p.show(c, v, func() {
		for _, i := range v.Items {
			switch i.Status {
			case "revoked":
				reason := ""
				if i.Reason != nil {
					reason = ", " + *i.Reason
				}
				fmt.Fprintf(p.stdout, "revoked  %s: on %s%s\n", i.Certificate, i.Revoked.Format("2006-01-02 15:04:05"), reason)
			case "good":
				fmt.Fprintf(p.stdout, "good     %s: not on the list\n", i.Certificate)
			default:
				fmt.Fprintf(p.stdout, "unknown  %s: the file has no list of its issuer, libvirt lets it in\n", i.Certificate)
			}
		}
	}); err != nil {
		return err
	}
	switch {
	case revoked:
		return status(exitFindings)
	case unknown:
		return status(exitIncomplete)
	}
	return nil
}

// checkOne looks one certificate up.
func (p *program) checkOne(lists []*crl.List, arg string) (checkedView, error) {
	view := checkedView{Certificate: arg, Status: "good"}
	var serial []byte
	if st, err := os.Stat(arg); err == nil && st.Mode().IsRegular() {
		text, err := p.read("the certificate", arg)
		if err != nil {
			return view, err
		}
		cert, err := importCertificate(text)
		if err != nil {
			return view, &fileError{arg, "reading the certificate", err}
		}
		serial, view.Serial = cert.Serial, cert.SerialHex()
		subject, _ := cert.Subject.Text()
		view.DN = &subject
		var own []*crl.List
		for _, l := range lists {
			if string(l.Issuer.DER()) == string(cert.Issuer.DER()) {
				own = append(own, l)
			}
		}
		if lists = own; len(own) == 0 {
			view.Status = "unknown"
		}
	} else {
		hex, err := inventory.ParseSerial(arg)
		if err != nil {
			return view, usage("%s is neither a file nor a serial number in hex", quote(arg))
		}
		n, _ := new(big.Int).SetString(hex, 16)
		serial, view.Serial = crl.SerialOctets(n), hex
	}
	for _, l := range lists {
		e, found, err := l.Lookup(serial)
		if err != nil {
			return view, err
		}
		if found {
			view.Status, view.Revoked, view.Reason = "revoked", &e.Revoked, optional(e.ReasonText())
			break
		}
	}
	return view, nil
}

// A changesView is the difference between two lists of one issuer.
type changesView struct {
	Issuer    string      `json:"issuer"`
	OldNumber *big.Int    `json:"old_number"`
	NewNumber *big.Int    `json:"new_number"`
	Added     []entryView `json:"added"`
	Removed   []entryView `json:"removed"`
	Changed   []entryView `json:"changed"`
	Unchanged int         `json:"unchanged"`
	Warnings  []string    `json:"warnings"`
}

func (p *program) crlDiff(c *cli.Context) error {
	if c.NArg() != 2 {
		return usage("crl diff needs an OLD and a NEW file").hint("virt-pki crl diff /etc/pki/CA/cacrl.pem ./authority/cacrl.pem")
	}
	older, _, err := p.readCRL(c.Args().Get(0))
	if err != nil {
		return err
	}
	newer, _, err := p.readCRL(c.Args().Get(1))
	if err != nil {
		return err
	}
	v := struct {
		Schema int           `json:"schema"`
		Lists  []changesView `json:"lists"`
	}{1, []changesView{}}
	differ := false
	older, newer = crl.Effective(older), crl.Effective(newer)
	for _, pair := range pairLists(older, newer) {
		view, err := viewChanges(pair[0], pair[1])
		if err != nil {
			return err
		}
		differ = differ || len(view.Added)+len(view.Removed)+len(view.Changed) > 0
		v.Lists = append(v.Lists, view)
	}
	if err := p.show(c, v, func() {
		for _, l := range v.Lists {
			p.printChanges(l)
		}
	}); err != nil {
		return err
	}
	if differ {
		return status(exitFindings)
	}
	return nil
}

// pairLists joins the lists of the same issuers; where one has none, the other is nil.
func pairLists(older, newer []*crl.List) [][2]*crl.List {
	var out [][2]*crl.List
	find := func(lists []*crl.List, like *crl.List) *crl.List {
		for _, l := range lists {
			if string(l.Issuer.DER()) == string(like.Issuer.DER()) {
				return l
			}
		}
		return nil
	}
	for _, n := range newer {
		out = append(out, [2]*crl.List{find(older, n), n})
	}
	for _, o := range older {
		if find(newer, o) == nil {
			out = append(out, [2]*crl.List{o, nil})
		}
	}
	return out
}

func viewChanges(o, n *crl.List) (changesView, error) {
	v := changesView{Added: []entryView{}, Removed: []entryView{}, Changed: []entryView{}, Warnings: []string{}}
	empty := &crl.List{}
	if o == nil {
		o = empty
		v.Warnings = append(v.Warnings, "the old file has no list of this issuer")
	} else if n == nil {
		n = empty
		v.Warnings = append(v.Warnings, "the new file has no list of this issuer")
	} else if err := n.CheckNewer(o); err != nil && string(n.Raw) != string(o.Raw) {
		v.Warnings = append(v.Warnings, err.Error())
	}
	if v.Issuer, _ = n.Issuer.Text(); n == empty {
		v.Issuer, _ = o.Issuer.Text()
	}
	v.OldNumber, v.NewNumber = o.Number, n.Number
	changes, err := crl.Diff(o, n)
	if err != nil {
		return v, err
	}
	v.Unchanged = changes.Unchanged
	for _, x := range []struct {
		into *[]entryView
		from []crl.Entry
	}{{&v.Added, changes.Added}, {&v.Removed, changes.Removed}, {&v.Changed, changes.Changed}} {
		for _, e := range x.from {
			*x.into = append(*x.into, viewEntry(e))
		}
	}
	return v, nil
}

func (p *program) printChanges(v changesView) {
	number := func(n *big.Int) string {
		if n == nil {
			return "none"
		}
		return n.String()
	}
	fmt.Fprintf(p.stdout, "CRL of %s: number %s -> %s, %d unchanged\n", visible(v.Issuer), number(v.OldNumber), number(v.NewNumber), v.Unchanged)
	for _, x := range []struct {
		sign string
		list []entryView
	}{{"+", v.Added}, {"-", v.Removed}, {"~", v.Changed}} {
		for _, e := range x.list {
			fmt.Fprintf(p.stdout, "  %s %s\n", x.sign, e.text())
		}
	}
	for _, w := range v.Warnings {
		p.warn("%s", strings.TrimSpace(w))
	}
}
