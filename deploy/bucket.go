package deploy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// A bucket has the functions' code of all stacks of an account and Region. Every request says whose it must be: bucket
// names are global, and somebody else could have taken ours.
type bucket struct {
	c             *Client
	name, account *string
}

func (c *Client) bucket(account string) bucket {
	return bucket{c, aws.String("crier-" + account + "-" + c.region), &account}
}

// upload puts code where CloudFormation can find it, unless it is there, and makes the bucket if there is none.
func (b bucket) upload(ctx context.Context, code Code, key string) error {
	done := Uploaded{Bucket: *b.name, Key: key}
	_, err := b.c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b.name, Key: &key, ExpectedBucketOwner: b.account})
	switch {
	case err == nil:
		done.Already = true
		b.c.tell(done)
		return nil
	case !isCode(err, "NotFound", "NoSuchKey", "NoSuchBucket"):
		return b.c.explain(ctx, "looking for the function's code in the bucket "+*b.name, err)
	}
	if done.NewBucket, err = b.ensure(ctx); err != nil {
		return err
	}
	packed, err := code.packed()
	if err != nil {
		return err
	}
	if err := b.put(ctx, packed, key); err != nil {
		return err
	}
	done.Bytes = len(packed)
	b.c.tell(done)
	return nil
}

// ensure makes the bucket if there is none. S3 makes buckets private and encrypts what is put into them unless it is
// told otherwise:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-encryption-faq.html
// https://aws.amazon.com/about-aws/whats-new/2022/12/amazon-s3-automatically-enable-block-public-access-disable-access-control-lists-buckets-april-2023/
func (b bucket) ensure(ctx context.Context) (made bool, err error) {
	_, err = b.c.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: b.name, ExpectedBucketOwner: b.account})
	switch {
	case err == nil:
		return false, nil
	case !isCode(err, "NotFound", "NoSuchBucket"):
		return false, b.c.explain(ctx, "looking for the bucket "+*b.name, err)
	}
	input := &s3.CreateBucketInput{Bucket: b.name}
	if b.c.region != "us-east-1" { // which is what S3 takes no word for
		input.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(b.c.region)}
	}
	_, err = b.c.s3.CreateBucket(ctx, input)
	switch {
	case err == nil:
		return true, nil
	case isCode(err, "BucketAlreadyOwnedByYou"): // since we looked
		return false, nil
	case isCode(err, "BucketAlreadyExists"):
		return false, fmt.Errorf("another account has taken the bucket name %s, which crier needs in yours; tell AWS support", *b.name)
	default:
		return false, b.c.explain(ctx, "creating the bucket "+*b.name, err)
	}
}

func (b bucket) put(ctx context.Context, packed []byte, key string) error {
	hash := sha256.Sum256(packed)
	_, err := b.c.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket:              b.name,
		Key:                 &key,
		Body:                bytes.NewReader(packed),
		ContentType:         aws.String("application/zip"),
		ChecksumSHA256:      aws.String(base64.StdEncoding.EncodeToString(hash[:])),
		ExpectedBucketOwner: b.account,
	})
	if err != nil {
		return b.c.explain(ctx, "uploading the function's code", err)
	}
	return nil
}

// empty removes all code of a stack, and the bucket if nothing else is in it.
func (b bucket) empty(ctx context.Context, name string) (Emptied, error) {
	done := Emptied{Bucket: *b.name}
	pages := s3.NewListObjectsV2Paginator(b.c.s3, &s3.ListObjectsV2Input{
		Bucket: b.name, Prefix: aws.String(codePrefix(name)), ExpectedBucketOwner: b.account,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if isCode(err, "NoSuchBucket") {
			return done, nil
		}
		if err != nil {
			return done, b.c.explain(ctx, "looking for the function's code in the bucket "+*b.name, err)
		}
		for _, object := range page.Contents {
			// One by one: there are few, and DeleteObjects wants a checksum that not everybody who plays S3 knows.
			if _, err := b.c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b.name, Key: object.Key, ExpectedBucketOwner: b.account}); err != nil {
				return done, b.c.explain(ctx, "removing the function's code from the bucket "+*b.name, err)
			}
			done.Objects++
		}
	}
	_, err := b.c.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: b.name, ExpectedBucketOwner: b.account})
	if err != nil && !isCode(err, "BucketNotEmpty", "NoSuchBucket") {
		return done, b.c.explain(ctx, "removing the bucket "+*b.name, err)
	}
	done.BucketRemoved = err == nil
	return done, nil
}
