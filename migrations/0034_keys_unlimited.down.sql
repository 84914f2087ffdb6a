drop index keys_unlimited;
