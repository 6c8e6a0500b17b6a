package revocation

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Drill says how it is to be proven that a revoked certificate is refused.
type Drill struct {
	// Spots are where the revocation list is published.
	Spots []layout.Spot
	// Subject is the name of the two certificates that are issued, such as tls_allowed_dn_list lets in.
	Subject dn.Name
	// Host is what the daemon is called; Dial connects to its TLS port.
	Host string
	Dial func(ctx context.Context) (net.Conn, error)
	// Reload brings the daemon to read the list.
	Reload func(ctx context.Context) error
	// Now gives the time, Wait lets it pass: two lists of one second are told apart by their dates.
	Now  func() time.Time
	Wait func(ctx context.Context, until time.Time) error
	// Told, when set, is called before each step.
	Told func(step string)
}

// Verdict is what a drill came to.
type Verdict string

// The verdicts.
const (
	// Passed: the revoked certificate is refused, and the good one is let in.
	Passed Verdict = "passed"
	// LetIn: the revoked certificate is let in.
	LetIn Verdict = "let-in"
	// Shut: the good certificate is refused, too.
	Shut Verdict = "shut"
	// Unproven: a certificate that is not revoked was refused from the beginning, so that nothing can be said.
	Unproven Verdict = "unproven"
)

// A DrillResult says what a drill came to.
type DrillResult struct {
	Verdict Verdict
	// Probe was revoked for the proof, Control was good; afterwards both are revoked.
	Probe, Control inventory.Entry
	// Before and After are the outcomes for both, before the revocation and after the reload.
	ProbeBefore, ControlBefore, ProbeAfter, ControlAfter finding.Outcome
	// Message is what libvirt's client would have said where the outcome was not as wanted.
	Message string
	// List is the list that was published, Posted where.
	List   *crl.List
	Posted []Posted
}

// drillLife is how long the certificates of a drill are good for.
const drillLife = time.Hour

// RunDrill issues two client certificates, sees both let in by the daemon, revokes one, publishes the list, has the daemon
// reloaded, and sees whether that one is refused and the other still let in. libvirt lets everybody in when it has no list, a
// wrong one or an old one, and says nothing: only this proves that revocation works.
//
// The keys are never written. However it ends, both certificates are revoked then; the second is on the next list only, and
// good for an hour.
func RunDrill(ctx context.Context, a *ca.Authority, d Drill) (result DrillResult, err error) {
	if !a.Unlocked() {
		return result, ca.ErrLocked
	}
	told := func(step string) {
		if d.Told != nil {
			d.Told(step)
		}
	}
	now := d.Now()
	order := ca.Order{Request: certs.Request{Role: certs.Client, Subject: d.Subject, NotAfter: now.Add(drillLife)}, Host: "revocation-drill", Layout: "drill"}
	prepared, err := a.PrepareAll(now, []ca.Order{order, order})
	if err != nil {
		return result, err
	}
	told("issuing two certificates")
	issued, err := a.IssueAll(ctx, prepared, nil)
	if err != nil {
		return result, err
	}
	inv := a.Inventory()
	probe, control := issued[0].Entry.Key, issued[1].Entry.Key
	result.Probe, result.Control = issued[0].Entry, issued[1].Entry
	defer func() {
		// Also when ctx has ended: a certificate that nobody knows of must not stay good.
		clean := context.WithoutCancel(ctx)
		for _, k := range []inventory.Key{probe, control} {
			var known *inventory.RevokedError
			if e := inv.Revoke(clean, k, d.Now(), reasonCessation); e != nil && !errors.As(e, &known) {
				err = errors.Join(err, e)
			}
		}
	}()
	cas, err := a.Certificates()
	if err != nil {
		return result, err
	}
	try := func(i int) (finding.Outcome, string, error) {
		cert, err := issued[i].Certificate()
		if err != nil {
			return "", "", err
		}
		return d.try(ctx, cas, cert, issued[i].Key)
	}
	told("connecting with both")
	if result.ControlBefore, result.Message, err = try(1); err == nil && result.ControlBefore == finding.Connected {
		result.ProbeBefore, result.Message, err = try(0)
	}
	if err != nil {
		return result, err
	}
	if result.ProbeBefore != finding.Connected {
		result.Verdict = Unproven
		return result, nil
	}
	told("revoking one of them")
	if err := inv.Revoke(ctx, probe, d.Now(), reasonCessation); err != nil {
		return result, err
	}
	list, err := a.MakeList(ctx, d.Now(), 0)
	if err != nil {
		return result, err
	}
	if err := d.Wait(ctx, list.ThisUpdate); err != nil {
		return result, err
	}
	result.List = list.List
	told("publishing the revocation list")
	if result.Posted, err = Publish(d.Spots, cas[0], list.List, false); err != nil {
		return result, err
	}
	told("reloading the daemon")
	if err := d.Reload(ctx); err != nil {
		return result, err
	}
	told("connecting with both again")
	if result.ControlAfter, result.Message, err = try(1); err != nil {
		return result, err
	}
	message := result.Message
	if result.ProbeAfter, result.Message, err = try(0); err != nil {
		return result, err
	}
	switch {
	case result.ControlAfter != finding.Connected:
		result.Verdict, result.Message = Shut, message
	case result.ProbeAfter == finding.Connected:
		result.Verdict = LetIn
	case result.ProbeAfter != finding.ServerRejectsClient:
		return result, fmt.Errorf("the connection with the revoked certificate came to nothing, it was not refused: %s: %s", result.ProbeAfter, result.Message)
	default:
		result.Verdict = Passed
	}
	return result, nil
}

// reasonCessation is cessationOfOperation (RFC 5280, 5.3.1).
const reasonCessation = 5

// try connects as libvirt's client would with a certificate.
func (d Drill) try(ctx context.Context, cas []*certs.Certificate, cert *certs.Certificate, key crypto.Signer) (finding.Outcome, string, error) {
	conn, err := d.Dial(ctx)
	if err != nil {
		return "", "", err
	}
	defer conn.Close()
	versions := verify.Measured()
	_, t, err := handshake.Client(ctx, conn, handshake.Config{Credentials: handshake.Credentials{CAs: cas, Chain: []*certs.Certificate{cert}, Key: key},
		Host: d.Host, Libvirt: versions[len(versions)-1], At: d.Now()})
	if err != nil {
		return "", "", err
	}
	message := t.LibvirtMessage
	if f, ok := t.Cause(); ok && t.Outcome == finding.ClientRejectsServer {
		message = f.Message
	}
	return t.Outcome, message, nil
}
