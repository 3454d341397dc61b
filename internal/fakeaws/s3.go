package fakeaws

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

var noSuchBucket = &Fault{http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist"}

// routeS3 understands path-style addresses: /bucket and /bucket/key.
func (a *AWS) routeS3(r *http.Request) (action string, _ answer) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch kind := map[bool]string{true: "Bucket", false: "Object"}[key == ""]; r.Method + kind {
	case "HEADBucket":
		return "s3:HeadBucket", a.headBucket
	case "PUTBucket":
		return "s3:CreateBucket", a.createBucket
	case "GETBucket":
		return "s3:ListObjectsV2", a.listObjects
	case "DELETEBucket":
		return "s3:DeleteBucket", a.deleteBucket
	case "HEADObject":
		return "s3:HeadObject", a.headObject
	case "PUTObject":
		return "s3:PutObject", a.putObject
	case "DELETEObject":
		return "s3:DeleteObject", a.deleteObject
	default:
		return "s3:" + r.Method + kind, unknown
	}
}

func (a *AWS) bucket(r *http.Request) (name, key string, fault *Fault) {
	name, key, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if owner := r.Header.Get("x-amz-expected-bucket-owner"); owner != Account && r.Method+key != "PUT" {
		return name, key, &Fault{http.StatusForbidden, "AccessDenied", "Access Denied"}
	}
	if a.buckets[name] == nil {
		return name, key, noSuchBucket
	}
	return name, key, nil
}

func (a *AWS) headBucket(_ http.ResponseWriter, r *http.Request) *Fault {
	_, _, fault := a.bucket(r)
	return fault
}

func (a *AWS) createBucket(_ http.ResponseWriter, r *http.Request) *Fault {
	name, _, fault := a.bucket(r)
	if fault == nil {
		return &Fault{http.StatusConflict, "BucketAlreadyOwnedByYou", "You own it already"}
	}
	body, _ := io.ReadAll(r.Body)
	if !strings.Contains(string(body), "<LocationConstraint>"+Region+"</LocationConstraint>") {
		return &Fault{http.StatusBadRequest, "IllegalLocationConstraintException", "The unspecified location constraint is incompatible"}
	}
	a.buckets[name] = map[string][]byte{}
	return nil
}

func (a *AWS) deleteBucket(w http.ResponseWriter, r *http.Request) *Fault {
	name, _, fault := a.bucket(r)
	if fault == nil && len(a.buckets[name]) > 0 {
		fault = &Fault{http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty"}
	}
	if fault == nil {
		delete(a.buckets, name)
		w.WriteHeader(http.StatusNoContent)
	}
	return fault
}

func (a *AWS) headObject(_ http.ResponseWriter, r *http.Request) *Fault {
	name, key, fault := a.bucket(r)
	if fault == nil && a.buckets[name][key] == nil {
		fault = &Fault{http.StatusNotFound, "NoSuchKey", ""}
	}
	return fault
}

func (a *AWS) putObject(_ http.ResponseWriter, r *http.Request) *Fault {
	name, key, fault := a.bucket(r)
	if fault != nil {
		return fault
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return &Fault{http.StatusBadRequest, "IncompleteBody", err.Error()}
	}
	if hash := sha256.Sum256(body); r.Header.Get("x-amz-checksum-sha256") != base64.StdEncoding.EncodeToString(hash[:]) {
		return &Fault{http.StatusBadRequest, "BadDigest", "The checksum does not match what was received"}
	}
	a.buckets[name][key] = body
	return nil
}

func (a *AWS) deleteObject(w http.ResponseWriter, r *http.Request) *Fault {
	name, key, fault := a.bucket(r)
	if fault == nil {
		delete(a.buckets[name], key)
		w.WriteHeader(http.StatusNoContent)
	}
	return fault
}

// listObjects has one object a page.
func (a *AWS) listObjects(w http.ResponseWriter, r *http.Request) *Fault {
	name, _, fault := a.bucket(r)
	if fault != nil {
		return fault
	}
	keys, after := a.keys(name, r.FormValue("prefix")), r.FormValue("continuation-token")
	r.Form = nil // it is no query
	keys = slices.DeleteFunc(keys, func(key string) bool { return key <= after })
	fmt.Fprintf(w, "<ListBucketResult><IsTruncated>%v</IsTruncated>", len(keys) > 1)
	if len(keys) > 0 {
		fmt.Fprintf(w, "<NextContinuationToken>%s</NextContinuationToken><Contents><Key>%[1]s</Key></Contents>", keys[0])
	}
	fmt.Fprint(w, "</ListBucketResult>")
	return nil
}

func (a *AWS) keys(bucket, prefix string) []string {
	keys := slices.Sorted(maps.Keys(a.buckets[bucket]))
	return slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, prefix) })
}
