alter table owners drop column ruled;
