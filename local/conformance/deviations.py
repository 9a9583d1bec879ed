"""What moto 5.2 does not do, or does otherwise than AWS documents: name of the test to reason.

A name with parameters in brackets is that one case. These run against the embedded S3 only; with
`pytest --deviations` moto gets them too, which shows the lines that a newer moto makes needless.
"""

UNSIGNED = "moto answers 403 without the XML of an error"
NO_SIGNATURES = "moto verifies no signature unless its IAM mode is on, which then breaks presigned URLs"
NO_CHECKSUMS = "moto stores the checksum that it is told, right or wrong"
STS_IS_LENIENT = "moto's STS neither verifies who asks nor what for"

MOTO = {
    # test_access.py
    "test_nobody_is_refused": UNSIGNED,
    "test_a_wrong_secret_is_refused": NO_SIGNATURES,
    "test_an_unknown_key_is_refused": NO_SIGNATURES,
    "test_a_signature_of_another_time_is_refused": NO_SIGNATURES,
    "test_a_presigned_put_signs_its_headers": NO_SIGNATURES,
    "test_a_presigned_put_signs_its_checksum": NO_SIGNATURES,
    "test_a_presigned_url_takes_no_amz_headers_but_its_own": NO_SIGNATURES,
    "test_a_presigned_head": NO_SIGNATURES,
    "test_a_presigned_url_expires": NO_SIGNATURES,
    "test_a_presigned_url_lasts_a_week_at_most": NO_SIGNATURES,
    "test_a_changed_presigned_url_is_refused": NO_SIGNATURES,
    "test_a_presigned_url_is_for_one_method": NO_SIGNATURES,
    "test_a_presigned_url_of_a_stranger_is_refused": NO_SIGNATURES,
    "test_assumed_credentials_need_their_token": NO_SIGNATURES,
    "test_assumed_credentials_need_their_secret": NO_SIGNATURES,
    "test_a_token_is_of_one_key": NO_SIGNATURES,
    "test_a_role_is_asked_for_within_bounds": STS_IS_LENIENT,
    "test_only_who_is_known_assumes_a_role": STS_IS_LENIENT,
    # test_checksums.py
    "test_a_right_checksum_is_confirmed": "moto returns checksums when reading, not when writing",
    "test_a_wrong_checksum_is_refused": NO_CHECKSUMS,
    "test_a_wrong_checksum_of_a_part_is_refused": NO_CHECKSUMS,
    "test_a_multipart_object_has_a_checksum_of_the_whole": "moto keeps no checksums of parts",
    "test_a_part_that_is_copied_has_the_checksum_of_its_bytes": "moto keeps no checksums of parts",
    "test_a_multipart_object_can_have_a_checksum_of_checksums": "moto keeps no checksums of parts",
    "test_a_checksum_of_content_md5": "moto ignores Content-MD5",
    "test_the_signed_digest_of_the_body_is_verified": NO_SIGNATURES,
    # test_conditions.py
    "test_batch_delete_checks_etags_one_by_one": "moto ignores the ETag of an entry",
    "test_a_copy_can_be_create_only": "moto ignores If-None-Match on CopyObject",
    # test_listing.py
    "test_an_invented_token_is_refused": "moto answers 500",
    "test_the_first_version_of_listing_has_markers": "moto gives no NextMarker with a delimiter",
    # test_multipart.py
    "test_an_aborted_upload_is_gone": "moto answers 500 to a part of an aborted upload",
    "test_one_part_can_be_read": "moto gives no count of parts",
    "test_parts_come_in_order": "moto takes parts in any order",
    "test_part_numbers_have_bounds[0]": "moto reports an unknown upload instead",
    # test_notifications.py
    "test_overlapping_prefixes_are_refused": "moto takes overlapping prefixes",
    # test_objects.py
    "test_a_key_of_1025_bytes_is_too_long": "moto takes keys of any length",
    "test_a_range_of_nonsense_is_ignored": "moto reads any unit as bytes",
    "test_bad_bucket_names_are_refused[With-Capitals]": "moto checks the length of names only",
    "test_bad_bucket_names_are_refused[under_score]": "moto checks the length of names only",
    "test_bad_bucket_names_are_refused[dot..dot]": "moto checks the length of names only",
    "test_bad_bucket_names_are_refused[-dash]": "moto checks the length of names only",
    "test_bad_bucket_names_are_refused[192.168.5.4]": "moto checks the length of names only",
    "test_batch_delete_takes_a_thousand_keys_and_no_more": "moto deletes any number of keys",
    "test_copy_checks_the_source": "moto ignores the conditions on the source",
    "test_quiet_batch_delete_says_nothing": "moto ignores Quiet",
    # test_versions.py
    "test_a_deleted_object_says_that_a_marker_hides_it": "moto does not send x-amz-delete-marker",
    "test_a_marker_has_no_content": "moto answers 404 instead of 405",
    "test_deleting_a_marker_says_so": "moto does not say that it was a marker",
    "test_markers_pile_up": "moto makes no marker where there is no object",
    "test_suspended_versioning_overwrites_the_null_version_only": "moto piles up null versions",
    "test_a_delete_while_suspended_puts_a_null_marker": "moto makes no marker while versioning is suspended",
}
