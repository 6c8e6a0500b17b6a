// Package rotation replaces the CA of an authority in stages, without one refused connection.
//
// [Advance] does the next stage, proves it before a file is changed, and says what remains: the new CA is added to every CA file,
// issues, takes the place of the old one's certificates, and the old one is taken out of the files. [StatusOf] says what each
// place has yet to get, and [Abort] gives a rotation up while nothing of the new CA is in use. Between the stages the files must
// have reached the hosts and daemons must have read them; that is for the caller to be sure of.
//
// The authority's part, its keys and the stage that it is in, is package ca's. A CA file holds no more than libvirt's check of one's
// own files reads (virNetTLSContextLoadCACertListFromFile). It was confirmed with clients that connect all the while to libvirt
// 9.0.0, 11.3.0 and 12.8.0.
package rotation
